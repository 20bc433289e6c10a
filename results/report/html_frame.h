#pragma once

#include <string_view>

#include "results/report/html_parts.h"

// What is around the content of every page: one file, no network, readable without JavaScript.
namespace dsbench::results::report {

enum class PageScripts { none, timelines };

// Up to and with the header. `tab` is what a browser's tab says; all texts are escaped here.
void open_page(Html& html, std::string_view tab, std::string_view title, std::string_view meta);
void close_page(Html& html, std::string_view version, PageScripts scripts);

}  // namespace dsbench::results::report
