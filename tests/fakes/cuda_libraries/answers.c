// The functions of CUDA's libraries that have to answer something; see build.py. One GPU, whose memory is the host's.
#include <stdlib.h>
#include <string.h>

#define ANSWER __attribute__((visibility("default")))

ANSWER const char *cudaGetErrorString(int error) { return "no error"; }
ANSWER const char *cudaGetErrorName(int error) { return "cudaSuccess"; }

ANSWER int cudaGetDeviceCount(int *count) {
  *count = 1;
  return 0;
}

ANSWER int cudaGetDevice(int *device) {
  *device = 0;
  return 0;
}

ANSWER int cudaGetDeviceProperties(char *properties, int device) {
  memset(properties, 0, 1024);
  strcpy(properties, "no GPU");  // the name comes first
  return 0;
}

ANSWER int cudaDriverGetVersion(int *version) {
  *version = 13000;
  return 0;
}

ANSWER int cudaRuntimeGetVersion(int *version) {
  *version = 13000;
  return 0;
}

ANSWER int cudaMalloc(void **block, size_t size) {
  *block = calloc(1, size + 1);
  return 0;
}

ANSWER int cudaMallocHost(void **block, size_t size) { return cudaMalloc(block, size); }

ANSWER int cudaHostAlloc(void **block, size_t size, unsigned flags) { return cudaMalloc(block, size); }

ANSWER int cudaFree(void *block) {
  free(block);
  return 0;
}

ANSWER int cudaFreeHost(void *block) { return cudaFree(block); }

ANSWER int cudaMemGetInfo(size_t *left, size_t *all) {
  *left = *all = (size_t)8 << 30;
  return 0;
}

ANSWER void **__cudaRegisterFatBinary(void *binary) {
  static void *handle;
  return &handle;
}
