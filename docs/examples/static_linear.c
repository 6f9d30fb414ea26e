/* SPDX-License-Identifier: Apache-2.0 */
#include <octet/octet.h>
#include <stdio.h>

int main(void) {
  const float w[] = {0.5f, -1.0f, 0.25f, 1.0f, 0.75f, -0.5f}, b[] = {0.1f, -0.2f};
  const uint8_t x[] = {178, 128, 78}; /* 1, 0 and -1: scale 0.02, zero point 128 */
  uint8_t y[2], arena[4096];
  octet_tensor W = octet_mat(OCTET_F32, w, 2, 3), B = octet_vec(OCTET_F32, b, 2);
  octet_tensor X = octet_mat(OCTET_U8, x, 1, 3), Y = octet_mat(OCTET_U8, y, 1, 2);
  octet_qtype in = {OCTET_U8, 0.02f, 128}, out = {OCTET_U8, 0.05f, 0};
  octet_weights_desc wd = {.struct_size = sizeof wd, .source = &W, .bias = &B};
  octet_linear_desc ld = {.struct_size = sizeof ld, .in = in, .out = out, .act = OCTET_RELU};
  octet_exec exec = {.struct_size = sizeof exec, .workspace = arena, .workspace_bytes = 4096};
  octet_context* ctx = NULL;
  octet_op* linear = NULL;
  octet_error err;
  octet_weights* weights = NULL;
  octet_status status = octet_context_create(NULL, &ctx, &err);
  if (!status) status = octet_weights_create(ctx, &wd, NULL, &weights, &err);
  ld.weights = weights;
  if (!status) status = octet_linear_create(ctx, &ld, &linear, &err);
  if (!status) status = octet_op_run(linear, &X, 1, &Y, 1, &exec, &err);
  if (status) puts(err.text);
  if (!status) printf("%.2f %.2f\n", y[0] * 0.05, y[1] * 0.05); /* prints: 0.35 1.30 */
  octet_op_destroy(linear);
  octet_weights_destroy(weights);
  octet_context_destroy(ctx);
  return status;
}
