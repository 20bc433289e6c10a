#include "cli/fault_flags.h"

namespace dsbench::cli {

void add_fault_flags(CLI::App& app, FaultOptions& options, const std::string& prefix,
                     const std::string& group) {
  app.add_option(
         "--" + prefix + "fault", options.faults,
         "what goes wrong, NAME[:key=value,...][@START][+DURATION], seconds from the server's start; any "
         "number of times: docs/serve.md")
      ->type_name("FAULT")
      ->default_str("none")
      ->allow_extra_args(false)
      ->group(group);
}

Result<std::vector<engine::Fault>> make_faults(const FaultOptions& options) {
  std::vector<engine::Fault> faults;
  for (const std::string& text : options.faults) {
    DSBENCH_TRY(engine::Fault fault, engine::parse_fault(text));
    faults.push_back(fault);
  }
  return faults;
}

}  // namespace dsbench::cli
