// The server in front of a scripted engine, for clients in other languages: prints its base URL, serves until
// its standard input ends.
#include <cstdio>

#include "core/clock.h"
#include "engine/server/server.h"
#include "tests/fakes/scripted_engine.h"

int main() {
  dsbench::SteadyClock clock;
  dsbench::fakes::ScriptedEngine engine;
  engine.run();
  const auto server = dsbench::engine::server::Server::start(engine, clock, {});
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().message.c_str());
    return 1;
  }
  std::printf("%s/v1\n", (*server)->url().c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}
