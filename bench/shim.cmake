sluice_bench(shim USES sluice_supervise Threads::Threads)
target_compile_definitions(bench_shim PRIVATE SHIM_PROGRAM="$<TARGET_FILE:sluice-shim>")
add_dependencies(bench_shim sluice-shim)
