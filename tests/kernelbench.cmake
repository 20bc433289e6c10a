dsbench_test(kernelbench_ops_test SOURCES unit/kernelbench_ops_test.cc LIBS dsbench::kernel_problems dsbench::kernels_cpu)
