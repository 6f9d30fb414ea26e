/* SPDX-License-Identifier: Apache-2.0
 *
 * Dynamic linear: float in, float out, each row quantized with its own scale as it comes. The rows
 * lie inside a wider matrix, and every call has another number of them: M belongs to the call, so
 * one op and one workspace serve all.
 *
 * prints: largest error: 0.0167 of a row's unit
 */
#include <octet/octet.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY(call) \
  if ((status = (call)) != OCTET_OK) goto done

enum { N = 4, K = 6, MAX_M = 8, LDX = 10 };

static octet_status run_batches(const octet_context* ctx, const octet_weights* weights,
                                const float* x, float* y, const int64_t* rows, size_t calls,
                                octet_error* err) {
  octet_status status;
  octet_op* linear = NULL;
  octet_exec exec = {.struct_size = sizeof exec};
  octet_linear_desc d = {.struct_size = sizeof d, .weights = weights};
  octet_tensor X = octet_mat(OCTET_F32, x, MAX_M, K), Y = octet_mat(OCTET_F32, y, MAX_M, N);
  size_t i;
  d.in.type = d.out.type = OCTET_F32;
  X.strides[0] = LDX;
  X.strides[1] = 1;
  TRY(octet_linear_create(ctx, &d, &linear, err));
  TRY(octet_op_workspace(linear, &X, 1, &exec, &exec.workspace_bytes, err)); /* the largest M */
  exec.workspace = malloc(exec.workspace_bytes);
  for (i = 0; i < calls; i++) {
    X.dims[0] = Y.dims[0] = rows[i];
    TRY(octet_op_run(linear, &X, 1, &Y, 1, &exec, err));
  }
done:
  octet_op_destroy(linear);
  free(exec.workspace);
  return status;
}

int main(void) {
  static const int64_t rows[] = {1, 7, 0, 8, 3};
  float w[N * K], x[MAX_M * LDX] = {0}, y[MAX_M * N], worst = 0;
  octet_context* ctx = NULL;
  octet_weights* weights = NULL;
  octet_error err = {0};
  octet_status status;
  octet_tensor W = octet_mat(OCTET_F32, w, N, K);
  octet_weights_desc wd = {.struct_size = sizeof wd, .source = &W};
  int i, j, k;
  for (i = 0; i < N * K; i++) w[i] = (float)(i * 7 % 11 - 5) / 8;
  for (i = 0; i < MAX_M; i++)
    for (k = 0; k < K; k++) x[i * LDX + k] = (float)(i + 1) * (float)((i * k + k) % 5 - 1);
  TRY(octet_context_create(NULL, &ctx, &err));
  TRY(octet_weights_create(ctx, &wd, NULL, &weights, &err));
  TRY(run_batches(ctx, weights, x, y, rows, sizeof rows / sizeof *rows, &err));
  for (i = 0; i < MAX_M; i++)
    for (j = 0; j < N; j++) {
      float sum = 0, error;
      for (k = 0; k < K; k++) sum += x[i * LDX + k] * w[j * K + k];
      error = (y[i * N + j] - sum) / (float)(i + 1);
      if (error < 0) error = -error;
      if (error > worst) worst = error;
    }
  printf("largest error: %.4f of a row's unit\n", worst);
  if (!(worst < 0.05f)) status = OCTET_ERR_INTERNAL;
done:
  if (err.status) fprintf(stderr, "%s\n", err.text);
  octet_weights_destroy(weights);
  octet_context_destroy(ctx);
  return status;
}
