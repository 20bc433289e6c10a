#pragma once

#include <string>
#include <string_view>

#include "core/units.h"

namespace dsbench::cli {

// Progress on stderr: on a terminal one line in place, gone when finished; elsewhere one line per event and
// nothing in place.
class Progress {
 public:
  // `quiet` prints nothing at all.
  explicit Progress(bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // A line that stays.
  void line(std::string_view text);
  // The line in place (terminals only).
  void status(std::string_view text);
  void clear();

 private:
  bool quiet_;
  bool terminal_;
  bool shown_ = false;
};

// True when this stream is a terminal that wants colour: NO_COLOR unset or empty, TERM not "dumb".
[[nodiscard]] bool wants_colour(int descriptor);

}  // namespace dsbench::cli
