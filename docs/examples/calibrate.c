/* SPDX-License-Identifier: Apache-2.0
 *
 * Calibrate, then convert: two observers watch a float layer's input and output over some batches
 * and then write scale and zero point straight into the description of the int8 layer, which is
 * compared with the float layer on the last batch.
 *
 * prints: in: scale 0.015441, zero point 97
 * prints: out: scale 0.010708, zero point 0
 * prints: largest error: 0.0123
 */
#include <octet/octet.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY(call) \
  if ((status = (call)) != OCTET_OK) goto done

enum { M = 8, N = 5, K = 12, BATCHES = 6 };

static void float_layer(const float* w, const float* b, const float* x, float* y) {
  int i, j, k;
  for (i = 0; i < M; i++)
    for (j = 0; j < N; j++) {
      float sum = b[j];
      for (k = 0; k < K; k++) sum += x[i * K + k] * w[j * K + k];
      y[i * N + j] = sum > 0 ? sum : 0;
    }
}

static void next_batch(int batch, float* x) {
  int i;
  for (i = 0; i < M * K; i++) x[i] = (float)((i * 37 + batch * 101) % 64 - 24) / 16;
}

int main(void) {
  float w[N * K], b[N], x[M * K], y[M * N], back[M * N], worst = 0;
  uint8_t xq[M * K], yq[M * N];
  octet_context* ctx = NULL;
  octet_observer *seen_x = NULL, *seen_y = NULL;
  octet_weights* weights = NULL;
  octet_op* linear = NULL;
  octet_error err = {0};
  octet_status status;
  octet_exec exec = {.struct_size = sizeof exec};
  octet_observer_desc od = {.struct_size = sizeof od, .kind = OCTET_OBSERVE_MINMAX};
  octet_scheme u8 = {.struct_size = sizeof u8, .type = OCTET_U8};
  octet_tensor W = octet_mat(OCTET_F32, w, N, K), B = octet_vec(OCTET_F32, b, N);
  octet_tensor X = octet_mat(OCTET_F32, x, M, K), Y = octet_mat(OCTET_F32, y, M, N);
  octet_tensor XQ = octet_mat(OCTET_U8, xq, M, K), YQ = octet_mat(OCTET_U8, yq, M, N);
  octet_tensor BACK = octet_mat(OCTET_F32, back, M, N), q_in = XQ, q_out = YQ;
  octet_weights_desc wd = {.struct_size = sizeof wd, .source = &W, .bias = &B};
  octet_linear_desc ld = {.struct_size = sizeof ld, .act = OCTET_RELU};
  octet_qparams in = {.count = 1}, out = {.count = 1};
  int i;
  for (i = 0; i < N * K; i++) w[i] = (float)(i * 29 % 31 - 15) / 32;
  for (i = 0; i < N; i++) b[i] = (float)i / 4;
  ld.in.type = ld.out.type = OCTET_U8;

  TRY(octet_context_create(NULL, &ctx, &err));
  TRY(octet_observer_create(ctx, &od, &seen_x, &err));
  TRY(octet_observer_create(ctx, &od, &seen_y, &err));
  for (i = 0; i < BATCHES; i++) {
    next_batch(i, x);
    float_layer(w, b, x, y);
    TRY(octet_observer_feed(seen_x, &X, NULL, &err));
    TRY(octet_observer_feed(seen_y, &Y, NULL, &err));
  }
  TRY(octet_observer_qparams(seen_x, &u8, &ld.in.scale, &ld.in.zero_point, 1, &err));
  TRY(octet_observer_qparams(seen_y, &u8, &ld.out.scale, &ld.out.zero_point, 1, &err));
  TRY(octet_weights_create(ctx, &wd, NULL, &weights, &err));
  ld.weights = weights;
  TRY(octet_linear_create(ctx, &ld, &linear, &err));

  /* float -> u8 -> layer -> u8 -> float */
  in.scale = &ld.in.scale;
  in.zero_point = &ld.in.zero_point;
  out.scale = &ld.out.scale;
  out.zero_point = &ld.out.zero_point;
  q_in.q = &in;
  q_out.q = &out;
  TRY(octet_op_workspace(linear, &XQ, 1, &exec, &exec.workspace_bytes, &err));
  exec.workspace = malloc(exec.workspace_bytes);
  TRY(octet_quantize(ctx, &X, &q_in, NULL, &err));
  TRY(octet_op_run(linear, &XQ, 1, &YQ, 1, &exec, &err));
  TRY(octet_dequantize(ctx, &q_out, &BACK, NULL, &err));
  for (i = 0; i < M * N; i++) {
    const float error = back[i] > y[i] ? back[i] - y[i] : y[i] - back[i];
    if (error > worst) worst = error;
  }
  printf("in: scale %.6f, zero point %d\n", ld.in.scale, ld.in.zero_point);
  printf("out: scale %.6f, zero point %d\n", ld.out.scale, ld.out.zero_point);
  printf("largest error: %.4f\n", worst);
  if (!(worst < 0.1f)) status = OCTET_ERR_INTERNAL;
done:
  if (err.status) fprintf(stderr, "%s\n", err.text);
  free(exec.workspace);
  octet_op_destroy(linear);
  octet_weights_destroy(weights);
  octet_observer_destroy(seen_x);
  octet_observer_destroy(seen_y);
  octet_context_destroy(ctx);
  return status;
}
