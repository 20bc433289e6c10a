# dsbench_embed(TARGET NAMESPACE ns OUTPUT path/embedded_x.h FILES key=path …)
# Compiles files into TARGET as string_views: `std::string_view ns::embedded(std::string_view key)`, empty when unknown,
# and `std::span<const std::string_view> ns::embedded_keys()`. The bytes go through .incbin, so big files cost nothing.
function(dsbench_embed target)
  cmake_parse_arguments(ARG "" "NAMESPACE;NAME" "FILES" ${ARGN})
  set(dir "${CMAKE_CURRENT_BINARY_DIR}/embedded")
  set(source "${dir}/${ARG_NAME}.cc")
  set(header "${dir}/${ARG_NAME}.h")
  set(n 0)
  set(decls "")
  set(table "")
  set(keys "")
  set(deps "")
  foreach(pair IN LISTS ARG_FILES)
    string(FIND "${pair}" "=" at)
    string(SUBSTRING "${pair}" 0 ${at} key)
    math(EXPR after "${at}+1")
    string(SUBSTRING "${pair}" ${after} -1 path)
    get_filename_component(path "${path}" ABSOLUTE)
    set(symbol "dsbench_embed_${ARG_NAME}_${n}")
    string(APPEND decls "__asm__(\".section .rodata\\n.global ${symbol}\\n${symbol}:\\n.incbin \\\"${path}\\\"\\n.global ${symbol}_end\\n${symbol}_end:\\n.byte 0\\n.previous\\n\");\nextern \"C\" { extern const char ${symbol}[]; extern const char ${symbol}_end[]; }\n")
    string(APPEND table "  if (key == \"${key}\") return {${symbol}, static_cast<std::size_t>(${symbol}_end - ${symbol})};\n")
    string(APPEND keys "\"${key}\", ")
    list(APPEND deps "${path}")
    math(EXPR n "${n}+1")
  endforeach()
  file(CONFIGURE OUTPUT "${header}" @ONLY CONTENT "#pragma once
#include <span>
#include <string_view>
namespace ${ARG_NAMESPACE} {
// The file compiled in under this key; empty when there is none.
[[nodiscard]] std::string_view embedded(std::string_view key);
[[nodiscard]] std::span<const std::string_view> embedded_keys();
}  // namespace ${ARG_NAMESPACE}
")
  file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT "#include \"${ARG_NAME}.h\"
#include <array>
#include <cstddef>
${decls}
namespace ${ARG_NAMESPACE} {
std::string_view embedded([[maybe_unused]] std::string_view key) {
${table}  return {};
}
std::span<const std::string_view> embedded_keys() {
  static constexpr std::array<std::string_view, ${n}> keys{${keys}};
  return keys;
}
}  // namespace ${ARG_NAMESPACE}
")
  set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${deps}")
  target_sources(${target} PRIVATE "${source}")
  target_include_directories(${target} PRIVATE "${dir}")
endfunction()
