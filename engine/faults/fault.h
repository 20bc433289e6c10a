#pragma once

#include "profiles/fault.h"

// The engine's room takes its faults from the profiles', where traffic profiles name them too.
namespace dsbench::engine {

using profiles::Fault;
using profiles::fault_kinds;
using profiles::FaultKind;
using profiles::is_of_connection;
using profiles::is_of_engine;
using profiles::parse_fault;
using profiles::print_fault;
using profiles::to_word;

}  // namespace dsbench::engine
