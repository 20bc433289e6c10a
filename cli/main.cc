#include "cli/app.h"

int main(int argc, char** argv) {
  return dsbench::cli::run(argc, argv);
}
