# What every target of Berth shares. Warnings and sanitizers are interface targets that each target links privately.

option(BERTH_WERROR "Warnings are errors" OFF)
set(BERTH_SANITIZE "" CACHE STRING "Sanitizers, as in -fsanitize=…; empty for none")
option(BERTH_HARDEN "Hardening flags, and small programs" OFF)
option(BERTH_FUZZ "Build the libFuzzer targets (clang)" OFF)

add_library(berth_options INTERFACE)
target_include_directories(berth_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(
  berth_options
  INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor -Woverloaded-virtual
            -Wimplicit-fallthrough $<$<CXX_COMPILER_ID:GNU>:-Wno-missing-field-initializers>
            $<$<BOOL:${BERTH_WERROR}>:-Werror>)
if(BERTH_SANITIZE)
  target_compile_options(berth_options INTERFACE -fsanitize=${BERTH_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(berth_options INTERFACE -fsanitize=${BERTH_SANITIZE})
endif()
if(BERTH_FUZZ)
  target_compile_options(berth_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(BERTH_HARDEN)
  # Each processor has its own way.
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$")
    set(BERTH_BRANCH_PROTECTION -mbranch-protection=standard)
  else()
    set(BERTH_BRANCH_PROTECTION -fcf-protection)
  endif()
  target_compile_options(berth_options INTERFACE -fstack-protector-strong ${BERTH_BRANCH_PROTECTION} -D_FORTIFY_SOURCE=2
                         -ffunction-sections -fdata-sections)
  target_link_options(berth_options INTERFACE -Wl,-z,relro,-z,now)
endif()

find_program(MOLD mold)
if(MOLD AND NOT BERTH_HARDEN)
  add_link_options(-fuse-ld=mold)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

# With SMALL a target is compiled for size in releases: its code runs seldom, and would take memory in between.
function(berth_small name)
  target_compile_options(${name} PRIVATE $<$<AND:$<BOOL:${BERTH_HARDEN}>,$<CONFIG:Release>>:-Os>)
endfunction()

# In the build that is packaged, what the linker took from where is written to maps/NAME.map: packaging/sbom.py reads it.
function(berth_link_map name)
  if(BERTH_PACKAGE)
    file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/maps)
    target_link_options(${name} PRIVATE -Wl,-Map=${CMAKE_BINARY_DIR}/maps/${name}.map)
  endif()
endfunction()

# berth_library(runtime_os [SMALL] SOURCES a.cpp … [LINK public libraries …] [PRIVATE libraries …])
# One static library per folder; its link list is the dependency rule (tests/layers/layers.py checks the includes).
function(berth_library name)
  cmake_parse_arguments(ARG "SMALL" "" "SOURCES;LINK;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  if(ARG_SMALL)
    berth_small(${name})
  endif()
  set_target_properties(${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE $<BUILD_INTERFACE:berth_options> ${ARG_PRIVATE})
  target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
endfunction()

# berth_program(berthd [SMALL] SOURCES … LINK …)
function(berth_program name)
  cmake_parse_arguments(ARG "SMALL" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  if(ARG_SMALL)
    berth_small(${name})
  endif()
  target_link_libraries(${name} PRIVATE berth_options ${ARG_LINK})
  berth_link_map(${name})
endfunction()

# berth_module(berth_git SOURCES … LINK …): loaded when it is needed (runtime/os/module.hpp); it lies in lib/berth beside
# bin, in the build tree as when installed.
function(berth_module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(${name} MODULE ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE berth_options ${ARG_LINK})
  set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/berth CXX_VISIBILITY_PRESET hidden)
  berth_link_map(${name})
endfunction()

# berth_test(runtime_os SOURCES a_test.cpp … LINK …): one doctest program per folder, run as one ctest test.
# Labels: `threads`, run under the thread sanitizer as well; `slow`, more than ten seconds, left out by check --quick.
function(berth_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK;LABELS" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE berth_options test_support ${ARG_LINK})
  add_test(NAME ${name} COMMAND test_${name} WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  # 77: not one of its cases could be tried here (tests/support/skip.hpp).
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}" SKIP_RETURN_CODE 77)
endfunction()
