/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantization-aware training of one layer: 4-bit weights with a scale for each channel, 8-bit
 * activations with a running range. The host owns everything that lasts, ranges and scales
 * included, and does its own forward, backward and update in float; Octet's part of a step is to
 * fake-quantize before, and to gate the gradients after.
 *
 * prints: loss 0.3653, after 60 steps 0.0112
 * prints: to deploy: input scale 0.007598, zero point 99
 */
#include <math.h>
#include <octet/octet.h>
#include <stdio.h>
#include <string.h>

#define TRY(call) \
  if ((status = (call)) != OCTET_OK) goto done

enum { M = 16, N = 3, K = 8, STEPS = 60 };

typedef struct layer {
  octet_context* ctx;
  octet_fake_quantizer weight_quant, input_quant;
  float w[N * K], wq[N * K], dw[N * K], x[M * K], xq[M * K], dx[M * K];
  uint8_t weight_mask[N * K], input_mask[M * K];
} layer;

static const float* target(void) {
  static float t[N * K];
  int i;
  for (i = 0; i < N * K; i++) t[i] = (float)(i * 5 % 13 - 6) / 8;
  return t;
}

/* y = xq * wq^T against x * target^T: the mean squared error, and its gradients in dw and dx. */
static float forward_backward(layer* l) {
  float loss = 0;
  int i, j, k;
  memset(l->dw, 0, sizeof l->dw);
  memset(l->dx, 0, sizeof l->dx);
  for (i = 0; i < M; i++)
    for (j = 0; j < N; j++) {
      float y = 0, want = 0, dy;
      for (k = 0; k < K; k++) y += l->xq[i * K + k] * l->wq[j * K + k];
      for (k = 0; k < K; k++) want += l->x[i * K + k] * target()[j * K + k];
      loss += (y - want) * (y - want) / (M * N);
      dy = 2 * (y - want) / (M * N);
      for (k = 0; k < K; k++) l->dw[j * K + k] += dy * l->xq[i * K + k];
      for (k = 0; k < K; k++) l->dx[i * K + k] += dy * l->wq[j * K + k];
    }
  return loss;
}

static octet_status step(layer* l, float* loss, octet_error* err) {
  octet_tensor W = octet_mat(OCTET_F32, l->w, N, K), WQ = octet_mat(OCTET_F32, l->wq, N, K);
  octet_tensor X = octet_mat(OCTET_F32, l->x, M, K), XQ = octet_mat(OCTET_F32, l->xq, M, K);
  octet_tensor DW = octet_mat(OCTET_F32, l->dw, N, K), DX = octet_mat(OCTET_F32, l->dx, M, K);
  octet_status status;
  int i;
  TRY(octet_fake_quant_step(l->ctx, &l->weight_quant, &W, &WQ, l->weight_mask, NULL, err));
  TRY(octet_fake_quant_step(l->ctx, &l->input_quant, &X, &XQ, l->input_mask, NULL, err));
  *loss = forward_backward(l);
  TRY(octet_fake_quant_backward(l->ctx, &DW, l->weight_mask, &DW, NULL, err)); /* in place */
  TRY(octet_fake_quant_backward(l->ctx, &DX, l->input_mask, &DX, NULL, err));
  for (i = 0; i < N * K; i++) l->w[i] -= 0.25f * l->dw[i];
done:
  return status;
}

int main(void) {
  static layer l;
  float w_min[N], w_max[N], w_scale[N], x_min, x_max, x_scale, loss = 0, first = 0, last = 0;
  int32_t w_zero[N], x_zero;
  octet_scheme s4 = {.struct_size = sizeof s4,
                     .type = OCTET_S4,
                     .flags = OCTET_SYMMETRIC,
                     .granularity = OCTET_PER_CHANNEL};
  octet_scheme u8 = {.struct_size = sizeof u8, .type = OCTET_U8};
  octet_error err = {0};
  octet_status status;
  int i, n;
  for (n = 0; n < N; n++) {
    w_min[n] = INFINITY; /* nothing seen yet */
    w_max[n] = -INFINITY;
  }
  x_min = w_min[0];
  x_max = w_max[0];
  l.weight_quant = (octet_fake_quantizer){.struct_size = sizeof l.weight_quant,
                                          .momentum = 1,
                                          .count = N,
                                          .scheme = &s4,
                                          .run_min = w_min,
                                          .run_max = w_max,
                                          .scale = w_scale,
                                          .zero_point = w_zero};
  l.input_quant = (octet_fake_quantizer){.struct_size = sizeof l.input_quant,
                                         .count = 1,
                                         .scheme = &u8,
                                         .run_min = &x_min,
                                         .run_max = &x_max,
                                         .scale = &x_scale,
                                         .zero_point = &x_zero};
  for (i = 0; i < N * K; i++) l.w[i] = (float)(i % 3 - 1) / 16;

  TRY(octet_context_create(NULL, &l.ctx, &err));
  for (n = 0; n < STEPS; n++) {
    for (i = 0; i < M * K; i++) l.x[i] = (float)((i * 23 + n * 7) % 32 - 12) / 16;
    TRY(step(&l, &loss, &err));
    if (n == 0) first = loss;
    last = loss;
  }
  printf("loss %.4f, after %d steps %.4f\n", first, STEPS, last);
  printf("to deploy: input scale %.6f, zero point %d\n", x_scale, x_zero);
  if (!(last < first / 10)) status = OCTET_ERR_INTERNAL;
done:
  if (err.status) fprintf(stderr, "%s\n", err.text);
  octet_context_destroy(l.ctx);
  return status;
}
