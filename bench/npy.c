typedef int npy_empty;
