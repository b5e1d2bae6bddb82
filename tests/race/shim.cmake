sluice_race(shim USES sluice_supervise)
target_compile_definitions(race_shim PRIVATE SHIM_PROGRAM="$<TARGET_FILE:sluice-shim>")
add_dependencies(race_shim sluice-shim)
