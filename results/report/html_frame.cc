#include "results/report/html_frame.h"

#include "report_page.h"

namespace dsbench::results::report {
namespace {

// A file of the page, without the comment that would make a browser's developer tools look for its source
// map.
std::string_view page_file(std::string_view key) {
  std::string_view content = page::embedded(key);
  const std::size_t at = content.rfind("sourceMappingURL");
  if (at != std::string_view::npos)
    content =
        content.substr(0, content.rfind('\n', at) == std::string_view::npos ? 0 : content.rfind('\n', at));
  return content;
}

}  // namespace

void open_page(Html& html, std::string_view tab, std::string_view title, std::string_view meta) {
  // Written so that an XML parser reads it too: every element is closed, every attribute quoted.
  html.raw(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'; "
      "img-src data:\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/><meta name=\"color-scheme\" "
      "content=\"light dark\"/>\n<title>");
  html.text(tab);
  html.raw("</title>\n<style>")
      .raw(page_file("dygraph.css"))
      .raw("\n")
      .raw(page_file("style.css"))
      .raw(
          "</style></head>\n<body><a class=\"skip\" href=\"#content\">Skip to the "
          "verdict</a>\n<main>\n<header>");
  html.raw("<p class=\"brand\">dsbench</p><p class=\"title\">").text(title).raw("</p><p class=\"meta\">");
  html.text(meta).raw("</p></header>\n<div id=\"content\" tabindex=\"-1\"></div>\n");
}

void close_page(Html& html, std::string_view version, PageScripts scripts) {
  html.raw("<footer><p>Made by dsbench ")
      .text(version)
      .raw(". This file needs no network.</p></footer>\n</main>\n");
  if (scripts == PageScripts::timelines) {
    html.raw("<script>")
        .raw(page_file("dygraph.js"))
        .raw("\n</script>\n<script>")
        .raw(page_file("timeline.js"))
        .raw("</script>\n");
  }
  html.raw("</body></html>\n");
}

}  // namespace dsbench::results::report
