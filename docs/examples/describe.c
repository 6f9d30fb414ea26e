/* SPDX-License-Identifier: Apache-2.0
 *
 * What would run, before anything does: the CPU and the kernels as one JSON object, and the plan of
 * a layer of N outputs and K inputs for M rows as another. The weights need no data for this.
 */
#include <octet/octet.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  const int64_t m = argc > 1 ? atoi(argv[1]) : 16, n = argc > 2 ? atoi(argv[2]) : 768,
                k = argc > 3 ? atoi(argv[3]) : 768;
  octet_context* ctx = NULL;
  octet_weights* weights = NULL;
  octet_op* op = NULL;
  octet_error err = {0};
  octet_tensor W = octet_mat(OCTET_F32, NULL, n, k), X = octet_mat(OCTET_U8, NULL, m, k);
  octet_context_desc cd = {.struct_size = sizeof cd, .flags = OCTET_ALLOW_SLOW};
  octet_weights_desc wd = {.struct_size = sizeof wd, .flags = OCTET_SHAPE_ONLY, .source = &W};
  octet_linear_desc ld = {.struct_size = sizeof ld};
  char* json = NULL;
  size_t bytes = 0;
  ld.in = (octet_qtype){OCTET_U8, 0.02f, 128};
  ld.out = (octet_qtype){OCTET_U8, 0.05f, 0};
  if (octet_context_create(&cd, &ctx, &err)) goto done;
  if (octet_weights_create(ctx, &wd, NULL, &weights, &err)) goto done;
  ld.weights = weights;
  if (octet_linear_create(ctx, &ld, &op, &err)) goto done;
  if (octet_context_describe(ctx, NULL, 0, &bytes, &err)) goto done;
  json = malloc(bytes);
  if (octet_context_describe(ctx, json, bytes, NULL, &err)) goto done;
  puts(json);
  if (octet_op_describe(op, &X, 1, NULL, NULL, 0, &bytes, &err)) goto done;
  free(json);
  json = malloc(bytes);
  if (octet_op_describe(op, &X, 1, NULL, json, bytes, NULL, &err)) goto done;
  puts(json);
done:
  if (err.status) fprintf(stderr, "%s\n", err.text);
  free(json);
  octet_op_destroy(op);
  octet_weights_destroy(weights);
  octet_context_destroy(ctx);
  return err.status;
}
