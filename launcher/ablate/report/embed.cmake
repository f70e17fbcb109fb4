# Writes a C++ source with the report's page: report.html with style, chart library and script put in.
#   cmake -DHTML=… -DCSS=… -DD3=… -DPLOT=… -DSCRIPT=… -DOUTPUT=… -P embed.cmake
file(READ "${HTML}" page)
foreach(part IN ITEMS CSS D3 PLOT SCRIPT)
  file(READ "${${part}}" text)
  string(FIND "${text}" "</script" closing)
  if(NOT closing EQUAL -1)
    message(FATAL_ERROR "[report] ${${part}} contains a closing script tag: it cannot be put into a page")
  endif()
  string(REPLACE "{{${part}}}" "${text}" page "${page}")
endforeach()
# Compilers must take string literals of 64 KiB; g++ and clang++ take megabytes.
file(WRITE "${OUTPUT}" "#include \"launcher/ablate/report_template.hpp\"

namespace troupe::ablate {

std::string_view report_template() {
  return R\"troupe-page(${page})troupe-page\";
}

} // namespace troupe::ablate
")
