# The rooms of the house. A library's sources are the .c files of its folder.

set(SLUICE_BANNED -include ${CMAKE_SOURCE_DIR}/common/base/banned.h)

# sluice_library(NAME [USES library...]) - libsluice_NAME.a from *.c here, less main.c
function(sluice_library name)
	cmake_parse_arguments(ARG "" "" "USES" ${ARGN})
	file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
	list(FILTER sources EXCLUDE REGEX "/main\\.c$")
	if(NOT sources)
		message(STATUS "sluice_${name} has headers only")
		add_library(sluice_${name} INTERFACE)
		target_include_directories(sluice_${name} INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/common)
		target_link_libraries(sluice_${name} INTERFACE ${ARG_USES})
		return()
	endif()
	add_library(sluice_${name} STATIC ${sources})
	target_include_directories(sluice_${name} PUBLIC ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/common)
	target_compile_options(sluice_${name} PRIVATE ${SLUICE_WARNINGS} ${SLUICE_BANNED})
	target_link_libraries(sluice_${name} PUBLIC ${ARG_USES})
endfunction()

# sluice_program(NAME [USES library...]) - the program NAME from main.c here, in bin/
function(sluice_program name)
	cmake_parse_arguments(ARG "" "" "USES" ${ARGN})
	if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/main.c)
		message(STATUS "${name} has no main.c")
		return()
	endif()
	add_executable(${name} ${CMAKE_CURRENT_SOURCE_DIR}/main.c)
	target_compile_options(${name} PRIVATE ${SLUICE_WARNINGS} ${SLUICE_BANNED})
	target_link_libraries(${name} PRIVATE ${ARG_USES})
	set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
	target_link_options(${name} PRIVATE -pie)
endfunction()

# What tests/run builds under TSan and for fuzzing, where the rest is not needed.
add_custom_target(races)
add_custom_target(fuzzers)

# The kinds of test programs know where the sources and the programs under test are.
function(sluice_test_program target directory)
	target_compile_options(${target} PRIVATE ${SLUICE_WARNINGS} -Wno-missing-prototypes)
	target_compile_definitions(${target} PRIVATE SLUICE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
		SLUICE_BIN_DIR="${CMAKE_BINARY_DIR}/bin")
	set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/${directory})
endfunction()

# sluice_unit_test(NAME [USES library...]) - one Criterion program from *.c here; not built under TSan, where Criterion aborts
function(sluice_unit_test name)
	cmake_parse_arguments(ARG "" "" "USES" ${ARGN})
	file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
	if(NOT sources)
		return()
	endif()
	add_executable(unit_${name} ${sources})
	if(SLUICE_SANITIZE MATCHES "thread")
		set_target_properties(unit_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
	endif()
	target_link_libraries(unit_${name} PRIVATE ${ARG_USES} PkgConfig::CRITERION)
	sluice_test_program(unit_${name} unit)
endfunction()

# sluice_race(NAME [USES library...]) - a plain program NAME.c that exits 0, run under TSan
function(sluice_race name)
	cmake_parse_arguments(ARG "" "" "USES" ${ARGN})
	add_executable(race_${name} ${CMAKE_CURRENT_SOURCE_DIR}/${name}.c)
	if(NOT SLUICE_SANITIZE MATCHES "thread")
		set_target_properties(race_${name} PROPERTIES EXCLUDE_FROM_ALL ON)
	endif()
	target_link_libraries(race_${name} PRIVATE ${ARG_USES})
	sluice_test_program(race_${name} race)
	add_dependencies(races race_${name})
endfunction()

# sluice_fuzz(NAME [USES library...]) - a libFuzzer target from NAME.c with its corpus in corpus/NAME
function(sluice_fuzz name)
	cmake_parse_arguments(ARG "" "" "USES" ${ARGN})
	add_executable(fuzz_${name} ${CMAKE_CURRENT_SOURCE_DIR}/${name}.c)
	target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
	target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
	target_link_libraries(fuzz_${name} PRIVATE ${ARG_USES})
	sluice_test_program(fuzz_${name} fuzz)
	add_dependencies(fuzzers fuzz_${name})
endfunction()

# sluice_sim(NAME [USES library...]) - a simulation, a plain program from *.c here: exits 0 when every promise held
function(sluice_sim name)
	cmake_parse_arguments(ARG "" "" "USES" ${ARGN})
	file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.c)
	add_executable(sim_${name} ${sources})
	target_link_libraries(sim_${name} PRIVATE ${ARG_USES})
	sluice_test_program(sim_${name} sim)
endfunction()
