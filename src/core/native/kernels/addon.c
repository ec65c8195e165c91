/* The part that Node sees: `addon.ts` describes it, and what is handed over. */
#include "crc32.h"
#include "sha256.h"
#include <node_api.h>

#define MOST_JOBS 64

/* Where the bytes of a view lie; 0 for what is none. An empty one may lie nowhere. */
static int bytes_of(napi_env env, napi_value view, uint8_t **bytes, size_t *length) {
  napi_typedarray_type type;
  return napi_get_typedarray_info(env, view, &type, length, (void **)bytes, 0, 0) == napi_ok && type == napi_uint8_array;
}

static napi_value fail(napi_env env, const char *message) {
  napi_throw_type_error(env, 0, message);
  return 0;
}

static const sha256_way *way_of(napi_env env, napi_value index) {
  uint32_t at = 0;
  return napi_get_value_uint32(env, index, &at) == napi_ok && at < 16 && sha256_way_at(at) && sha256_can(at) ? sha256_way_at(at) : 0;
}

static sha256_state *state_of(napi_env env, napi_value states, napi_value index) {
  size_t length = 0;
  uint32_t at = 0;
  uint8_t *data = 0;
  if (!bytes_of(env, states, &data, &length) || napi_get_value_uint32(env, index, &at) != napi_ok ||
      at >= length / sizeof(sha256_state))
    return 0;
  return (sha256_state *)data + at;
}

/* ways(): names of what this processor can do, each at its index; holes for what it cannot. */
static napi_value ways(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value names, name;
  if (napi_create_array(env, &names) != napi_ok || !sha256_has_one()) return names;
  for (uint32_t i = 0; sha256_way_at(i); i++) {
    if (!sha256_can(i)) continue;
    if (napi_create_string_utf8(env, sha256_way_at(i)->name, NAPI_AUTO_LENGTH, &name) != napi_ok) return 0;
    if (napi_set_element(env, names, i, name) != napi_ok) return 0;
  }
  return names;
}

/* start(states, index) */
static napi_value start(napi_env env, napi_callback_info info) {
  napi_value args[2];
  size_t count = 2;
  napi_get_cb_info(env, info, &count, args, 0, 0);
  sha256_state *state = count == 2 ? state_of(env, args[0], args[1]) : 0;
  if (!state) return fail(env, "start: no such state");
  sha256_start(state);
  return 0;
}

/* update(way, states, indexes: number[], chunks: Uint8Array[], count, urgent, left: Uint32Array): every state once. The bytes that each of the
   jobs behind the first `urgent` has left stand in `left` then. */
static napi_value update(napi_env env, napi_callback_info info) {
  napi_value args[7];
  size_t given = 7;
  napi_get_cb_info(env, info, &given, args, 0, 0);
  const sha256_way *way = given == 7 ? way_of(env, args[0]) : 0;
  uint32_t count = 0, urgent = 0;
  napi_typedarray_type type;
  size_t room = 0;
  void *left = 0;
  if (!way || napi_get_value_uint32(env, args[4], &count) != napi_ok || count > MOST_JOBS ||
      napi_get_value_uint32(env, args[5], &urgent) != napi_ok || urgent > count ||
      napi_get_typedarray_info(env, args[6], &type, &room, &left, 0, 0) != napi_ok || type != napi_uint32_array || room < count)
    return fail(env, "update: no such way, or too much");
  sha256_job jobs[MOST_JOBS];
  for (uint32_t i = 0; i < count; i++) {
    napi_value index, chunk;
    if (napi_get_element(env, args[2], i, &index) != napi_ok || napi_get_element(env, args[3], i, &chunk) != napi_ok)
      return fail(env, "update: no array");
    jobs[i].state = state_of(env, args[1], index);
    uint8_t *bytes = 0;
    if (!jobs[i].state || !bytes_of(env, chunk, &bytes, &jobs[i].length)) return fail(env, "update: no such state, or no bytes");
    jobs[i].bytes = bytes;
    for (uint32_t j = 0; j < i; j++)
      if (jobs[j].state == jobs[i].state) return fail(env, "update: a state twice");
  }
  sha256_update(way, jobs, count, urgent);
  for (uint32_t i = 0; i < count; i++) ((uint32_t *)left)[i] = (uint32_t)jobs[i].left;
  return 0;
}

/* finish(way, states, index, digest: Uint8Array of 32) */
static napi_value finish(napi_env env, napi_callback_info info) {
  napi_value args[4];
  size_t count = 4;
  napi_get_cb_info(env, info, &count, args, 0, 0);
  const sha256_way *way = count == 4 ? way_of(env, args[0]) : 0;
  sha256_state *state = way ? state_of(env, args[1], args[2]) : 0;
  size_t length = 0;
  uint8_t *digest = 0;
  if (!state || !bytes_of(env, args[3], &digest, &length) || length != 32) return fail(env, "finish: no such way or state, or no room");
  sha256_finish(way, state, digest);
  return 0;
}

/* hasCrc32() */
static napi_value has_crc32(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value can;
  return napi_get_boolean(env, crc32_can(), &can) == napi_ok ? can : 0;
}

/* crc32(bytes, before) */
static napi_value crc32(napi_env env, napi_callback_info info) {
  napi_value args[2], value;
  size_t count = 2, length = 0;
  uint32_t before = 0;
  uint8_t *bytes = 0;
  napi_get_cb_info(env, info, &count, args, 0, 0);
  if (count != 2 || !crc32_can() || !bytes_of(env, args[0], &bytes, &length) || napi_get_value_uint32(env, args[1], &before) != napi_ok)
    return fail(env, "crc32: no bytes, or no instructions for it");
  return napi_create_uint32(env, crc32_of(before, bytes, length), &value) == napi_ok ? value : 0;
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback call;
  } functions[] = {{"ways", ways}, {"start", start}, {"update", update}, {"finish", finish},
                   {"hasCrc32", has_crc32}, {"crc32", crc32}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, 0, &function) != napi_ok ||
        napi_set_named_property(env, exports, functions[i].name, function) != napi_ok)
      return 0;
  }
  return exports;
}
