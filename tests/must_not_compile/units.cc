// Each case is compiled alone with -DCASE=n and must be refused; case 0 is the control and must be accepted.
#include "core/units.h"

using namespace dsbench;

int main() {
#if CASE == 0
  return (2 * 5_rps > 9_rps && 3_tok + 4_tok == 7_tok) ? 0 : 1;
#elif CASE == 1
  return (5_rps + 3_tok) > 0;  // a rate and a number of tokens
#elif CASE == 2
  const Rate rate = 5.0;  // a number without its unit
  return rate > 1_rps;
#elif CASE == 3
  return Bytes{1} == Tokens{1};
#elif CASE == 4
  const Nanos t = 1.5;  // seconds or nanoseconds?
  return t.count() > 0;
#endif
}
