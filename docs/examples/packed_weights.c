/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights on disk: written once through a mapping, with the same bytes on every CPU, and
 * mapped read-only by every process that runs them. There is no copy on the heap at either end.
 *
 * prints: 1664 bytes mapped, released 1 time(s), outputs equal
 */
#define _POSIX_C_SOURCE 200809L
#include <octet/octet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int unmapped;

static void unmap(void* user, const void* p, size_t n) {
  (void)user;
  munmap((void*)(uintptr_t)p, n);
  unmapped++;
}

static octet_status write_packed(const octet_context* ctx, const octet_weights_desc* d, int fd,
                                 size_t* bytes, octet_error* err) {
  void* p;
  octet_status status = octet_weights_bytes(ctx, d, bytes, err); /* from the shape alone */
  if (status) return status;
  if (ftruncate(fd, (off_t)*bytes)) return OCTET_ERR_ARGUMENT;
  p = mmap(NULL, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return OCTET_ERR_MEMORY;
  status = octet_weights_pack(ctx, d, p, *bytes, NULL, err);
  munmap(p, *bytes);
  return status;
}

static octet_status open_packed(const octet_context* ctx, int fd, size_t bytes,
                                octet_weights** weights, octet_error* err) {
  octet_blob b = {.struct_size = sizeof b, .bytes = bytes, .release = unmap};
  octet_status status;
  b.data = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (b.data == MAP_FAILED) return OCTET_ERR_MEMORY;
  status = octet_weights_open(ctx, &b, weights, err);
  if (status) unmap(NULL, b.data, bytes); /* refused: still ours */
  return status;                          /* accepted: unmapped after the last op is gone */
}

int main(void) {
  enum { N = 20, K = 30 };
  float w[N * K];
  uint8_t x[K], direct[N], mapped[N];
  octet_context* ctx = NULL;
  octet_weights* weights[2] = {NULL, NULL};
  octet_error err = {0};
  octet_status status;
  octet_tensor W = octet_mat(OCTET_F32, w, N, K), X = octet_mat(OCTET_U8, x, 1, K);
  octet_weights_desc wd = {.struct_size = sizeof wd, .source = &W};
  FILE* file = tmpfile();
  size_t bytes = 0;
  int i;
  for (i = 0; i < N * K; i++) w[i] = (float)(i * 13 % 17 - 8) / 8;
  for (i = 0; i < K; i++) x[i] = (uint8_t)(i * 9);
  if (!file) return 1;
  status = octet_context_create(NULL, &ctx, &err);
  if (!status) status = write_packed(ctx, &wd, fileno(file), &bytes, &err);
  if (!status) status = open_packed(ctx, fileno(file), bytes, &weights[0], &err);
  if (!status) status = octet_weights_create(ctx, &wd, NULL, &weights[1], &err);
  for (i = 0; i < 2 && !status; i++) {
    octet_op* op = NULL;
    octet_exec exec = {.struct_size = sizeof exec};
    octet_tensor Y = octet_mat(OCTET_U8, i ? direct : mapped, 1, N);
    octet_linear_desc d = {.struct_size = sizeof d, .weights = weights[i]};
    d.in = (octet_qtype){OCTET_U8, 0.02f, 128};
    d.out = (octet_qtype){OCTET_U8, 0.1f, 128};
    status = octet_linear_create(ctx, &d, &op, &err);
    if (!status) status = octet_op_workspace(op, &X, 1, &exec, &exec.workspace_bytes, &err);
    exec.workspace = malloc(exec.workspace_bytes);
    if (!status) status = octet_op_run(op, &X, 1, &Y, 1, &exec, &err);
    free(exec.workspace);
    octet_weights_destroy(weights[i]); /* the op holds what it needs */
    octet_op_destroy(op);
  }
  if (err.status) fprintf(stderr, "%s\n", err.text);
  octet_context_destroy(ctx);
  fclose(file);
  if (status) return status;
  printf("%d bytes mapped, released %d time(s), outputs %s\n", (int)bytes, unmapped,
         memcmp(direct, mapped, N) ? "differ" : "equal");
  return unmapped != 1 || memcmp(direct, mapped, N);
}
