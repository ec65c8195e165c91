/* The part that Node sees: `addon.ts` describes it, and what is handed over. */
#include "crc32.h"
#include "inflate.h"
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
static napi_value sha256_begin(napi_env env, napi_callback_info info) {
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

/* inflateLayout(): how many bytes an inflater needs, and where its input and its output, behind the window, begin in them. */
static napi_value inflate_layout(napi_env env, napi_callback_info info) {
  (void)info;
  const size_t numbers[] = {sizeof(inflater), offsetof(inflater, input), INPUT_BYTES, offsetof(inflater, output) + WINDOW_BYTES};
  napi_value list, value;
  if (napi_create_array(env, &list) != napi_ok) return 0;
  for (uint32_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (napi_create_uint32(env, (uint32_t)numbers[i], &value) != napi_ok || napi_set_element(env, list, i, value) != napi_ok) return 0;
  return list;
}

/* The inflater whose memory is the first of the arguments; 0 for what is too small or lies askew. */
static inflater *inflater_of(napi_env env, napi_callback_info info, size_t expected, napi_value args[2]) {
  size_t count = 2, length = 0;
  uint8_t *data = 0;
  napi_get_cb_info(env, info, &count, args, 0, 0);
  if (count < expected || !bytes_of(env, args[0], &data, &length) || length < sizeof(inflater) || (uintptr_t)data % 8 != 0) {
    fail(env, "inflate: no memory of an inflater");
    return 0;
  }
  return (inflater *)data;
}

#define ON_INFLATER(name)                                        \
  static napi_value name(napi_env env, napi_callback_info info) { \
    napi_value args[2];                                          \
    inflater *it = inflater_of(env, info, 1, args);              \
    if (it) inflate_##name(it);                                  \
    return 0;                                                    \
  }
ON_INFLATER(reset)
ON_INFLATER(start)
ON_INFLATER(make_room)
ON_INFLATER(slide)

/* inflatePauseAfter(memory, bytes) */
static napi_value pause_after(napi_env env, napi_callback_info info) {
  napi_value args[2];
  double bytes = 0;
  inflater *it = inflater_of(env, info, 2, args);
  if (!it) return 0;
  if (napi_get_value_double(env, args[1], &bytes) != napi_ok) return fail(env, "inflate: no number");
  inflate_pause_after(it, bytes);
  return 0;
}

/* inflateRun(memory, isLast): how the turn ended */
static napi_value run(napi_env env, napi_callback_info info) {
  napi_value args[2], status;
  bool is_last = false;
  inflater *it = inflater_of(env, info, 2, args);
  if (!it) return 0;
  if (napi_get_value_bool(env, args[1], &is_last) != napi_ok) return fail(env, "inflate: neither true nor false");
  return napi_create_int32(env, inflate_run(it, is_last), &status) == napi_ok ? status : 0;
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback call;
  } functions[] = {{"ways", ways}, {"start", sha256_begin}, {"update", update}, {"finish", finish},
                   {"hasCrc32", has_crc32}, {"crc32", crc32},
                   {"inflateLayout", inflate_layout}, {"inflateReset", reset}, {"inflateStart", start}, {"inflateMakeRoom", make_room},
                   {"inflateSlide", slide}, {"inflatePauseAfter", pause_after}, {"inflateRun", run}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, 0, &function) != napi_ok ||
        napi_set_named_property(env, exports, functions[i].name, function) != napi_ok)
      return 0;
  }
  return exports;
}
