/* SPDX-License-Identifier: Apache-2.0
 *
 * A C99 program as an embedder writes it: float weights in, u8 to u8 with ReLU, and the result
 * compared with arithmetic that can be done on paper. */
#include <octet/octet.h>
#include <stdio.h>
#include <stdlib.h>

#define TRY(call) \
  if ((call) != OCTET_OK) goto done

enum { kRows = 3, kIn = 5, kOut = 2 };

static int run(octet_error* err) {
  static const float w[kOut][kIn] = {{127, 0, -127, 1, 2}, {-127, 64, 0, 0, 5}};
  static const float bias[kOut] = {10, -20};
  static const uint8_t x[kRows][kIn] = {{0, 1, 2, 3, 4}, {9, 9, 9, 9, 9}, {0, 7, 0, 50, 0}};
  uint8_t y[kRows][kOut];
  octet_context* context = NULL;
  octet_weights* weights = NULL;
  octet_op* op = NULL;
  int wrong = 0;
  octet_tensor W = octet_mat(OCTET_F32, w, kOut, kIn), B = octet_vec(OCTET_F32, bias, kOut);
  octet_tensor X = octet_mat(OCTET_U8, x, kRows, kIn), Y = octet_mat(OCTET_U8, y, kRows, kOut);
  octet_weights_desc wd = {0};
  octet_linear_desc ld = {0};
  octet_exec exec = {0};
  wd.struct_size = sizeof wd;
  wd.source = &W;
  wd.bias = &B;
  ld.struct_size = sizeof ld;
  ld.act = OCTET_RELU;
  ld.in.type = ld.out.type = OCTET_U8;
  ld.in.scale = 1;
  ld.in.zero_point = 2;
  ld.out.scale = 4;
  exec.struct_size = sizeof exec;
  TRY(octet_context_create(NULL, &context, err));
  TRY(octet_weights_create(context, &wd, NULL, &weights, err)); /* scale 1: the weights as given */
  ld.weights = weights;
  TRY(octet_linear_create(context, &ld, &op, err));
  TRY(octet_op_workspace(op, &X, 1, &exec, &exec.workspace_bytes, err));
  exec.workspace = malloc(exec.workspace_bytes + 1);
  TRY(octet_op_run(op, &X, 1, &Y, 1, &exec, err));
  for (int m = 0; m < kRows; ++m)
    for (int n = 0; n < kOut; ++n) {
      float sum = bias[n];
      int low, high, got = y[m][n];
      for (int k = 0; k < kIn; ++k) sum += (float)(x[m][k] - 2) * w[n][k];
      /* A rounded quarter lies within half of it, whatever a tie does. */
      sum = sum < 0 ? 0 : sum / 4;
      sum = sum > 255 ? 255 : sum;
      low = (int)(sum - 0.5f);
      high = (int)(sum + 0.5f);
      if (got < low || got > high) {
        printf("y[%d][%d] is %d instead of %g\n", m, n, got, (double)sum);
        wrong = 1;
      }
    }
done:
  octet_op_destroy(op);
  octet_weights_destroy(weights);
  octet_context_destroy(context);
  free(exec.workspace);
  return wrong;
}

int main(void) {
  octet_error err = {0};
  int wrong = run(&err);
  if (err.status) printf("%s: %s\n", octet_status_name(err.status), err.text);
  return wrong || err.status;
}
