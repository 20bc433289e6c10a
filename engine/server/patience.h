#pragma once

#include <cstdint>
#include <limits>

#include "engine/server/manners.h"

namespace dsbench::engine::server {

// What a request that has not been answered is due by the clock: a sign of life, or the end. Pure.
class Patience {
 public:
  enum class Due : std::uint8_t { nothing, keep_alive, cut_off };

  Patience(const Manners& manners, Nanos arrived)
      : keep_alive_{manners.keep_alive},
        cut_off_{manners.cut_off ? arrived + *manners.cut_off : Nanos::max()},
        start_cut_off_{manners.start_cut_off ? arrived + *manners.start_cut_off : Nanos::max()},
        said_{arrived} {}

  // Admitted to run.
  void started() { start_cut_off_ = Nanos::max(); }
  // The client has been sent something.
  void said(Nanos at) { said_ = at; }

  [[nodiscard]] Due due(Nanos now) const {
    if (now >= cut_off_ || now >= start_cut_off_) return Due::cut_off;
    return keep_alive_ > Nanos{0} && now - said_ >= keep_alive_ ? Due::keep_alive : Due::nothing;
  }

 private:
  Nanos keep_alive_;
  Nanos cut_off_;
  Nanos start_cut_off_;
  Nanos said_;
};

}  // namespace dsbench::engine::server
