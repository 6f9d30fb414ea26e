/* SPDX-License-Identifier: Apache-2.0 */
/* clang-format off */
#include <octet/octet.h>
#include <stdio.h>
#define TRY(call) if (call) return puts(err.text), 1

int main(void) {
  const float w[] = {0.5f, -1.0f, 0.25f, 1.0f, 0.75f, -0.5f}, b[] = {0.1f, -0.2f};
  const uint8_t x[] = {178, 128, 78}; /* 1, 0 and -1: scale 0.02, zero point 128 */
  uint8_t y[2], arena[4096];
  octet_tensor W = octet_mat(OCTET_F32, w, 2, 3), B = octet_vec(OCTET_F32, b, 2);
  octet_tensor X = octet_mat(OCTET_U8, x, 1, 3), Y = octet_mat(OCTET_U8, y, 1, 2);
  octet_weights_desc wd = {.struct_size = sizeof wd, .source = &W, .bias = &B};
  octet_linear_desc ld = {.struct_size = sizeof ld, .act = OCTET_RELU,
                          .in = {OCTET_U8, 0.02f, 128}, .out = {OCTET_U8, 0.05f, 0}};
  octet_exec exec = {.struct_size = sizeof exec, .workspace = arena, .workspace_bytes = 4096};
  octet_context *ctx; octet_weights *weights; octet_op *linear; octet_error err;
  TRY(octet_context_create(NULL, &ctx, &err));
  TRY(octet_weights_create(ctx, &wd, NULL, &weights, &err)); /* quantized per channel, packed once */
  ld.weights = weights;
  TRY(octet_linear_create(ctx, &ld, &linear, &err));
  TRY(octet_op_run(linear, &X, 1, &Y, 1, &exec, &err));
  printf("%.2f %.2f\n", y[0] * 0.05, y[1] * 0.05); /* prints: 0.35 1.30 */
  octet_op_destroy(linear), octet_weights_destroy(weights), octet_context_destroy(ctx);
  return 0;
}
