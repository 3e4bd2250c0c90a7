#include "covey/safetensors.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "byte_order.h"
#include "data_file.h"
#include "safetensors_header.h"

#define BIG_ENDIAN_HERE (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
#define LENGTH_BYTES 8

struct covey_safetensors {
    struct covey_safetensors_header header;
    void *map; /* NULL: the caller's bytes */
    size_t map_bytes;
};

enum covey_status covey_safetensors_open_bytes(const char *name, struct covey_bytes bytes,
                                               struct covey_safetensors **out, struct covey_error *err)
{
    if (bytes.size < LENGTH_BYTES)
        return covey_fail(err, COVEY_CORRUPT, "%s: too short for a safetensors file", name);
    uint64_t length = covey_load_u64(bytes.data, BIG_ENDIAN_HERE);
    if (length > bytes.size - LENGTH_BYTES)
        return covey_fail(err, COVEY_CORRUPT,
                          "%s: no safetensors file, or cut: a header of %llu bytes in a file of %zu", name,
                          (unsigned long long)length, bytes.size);
    if (length > COVEY_SAFETENSORS_HEADER_BYTES)
        return covey_fail(err, COVEY_LIMIT, "%s: a header of %llu bytes; %u are allowed", name,
                          (unsigned long long)length, COVEY_SAFETENSORS_HEADER_BYTES);
    struct covey_safetensors *file = calloc(1, sizeof *file);
    if (file == NULL)
        return covey_fail(err, COVEY_NO_MEMORY, "%s: no memory", name);
    const uint8_t *values = bytes.data + LENGTH_BYTES + length;
    enum covey_status status = covey_safetensors_parse(
        name, (const char *)bytes.data + LENGTH_BYTES, (size_t)length,
        (struct covey_bytes){values, bytes.size - LENGTH_BYTES - (size_t)length}, &file->header, err);
    if (status != COVEY_OK) {
        covey_safetensors_close(file);
        return status;
    }
    *out = file;
    return COVEY_OK;
}

enum covey_status covey_safetensors_open(const char *path, struct covey_safetensors **out,
                                         struct covey_error *err)
{
    struct covey_data_file file = {.descriptor = -1};
    const uint8_t *map = NULL;
    enum covey_status status;
    COVEY_TRY(covey_data_file_open(path, &file, err));
    size_t bytes = (size_t)file.size;
    status = file.gzip != NULL ? covey_fail(err, COVEY_UNSUPPORTED, "%s: compressed; gunzip it first", path)
                               : covey_data_file_map(&file, &map, err);
    covey_data_file_close(&file);
    if (status != COVEY_OK)
        return status;
    status = covey_safetensors_open_bytes(path, (struct covey_bytes){map, bytes}, out, err);
    if (status != COVEY_OK) {
        munmap((void *)(uintptr_t)map, bytes);
        return status;
    }
    (*out)->map = (void *)(uintptr_t)map;
    (*out)->map_bytes = bytes;
    return COVEY_OK;
}

void covey_safetensors_close(struct covey_safetensors *file)
{
    if (file == NULL)
        return;
    if (file->map != NULL)
        munmap(file->map, file->map_bytes);
    free(file->header.entries);
    free(file);
}

size_t covey_safetensors_count(const struct covey_safetensors *file)
{
    return file->header.count;
}

const struct covey_safetensors_entry *covey_safetensors_entry(const struct covey_safetensors *file,
                                                              size_t index)
{
    return index < file->header.count ? &file->header.entries[index] : NULL;
}

const struct covey_safetensors_entry *covey_safetensors_find(const struct covey_safetensors *file,
                                                             const char *name)
{
    for (size_t i = 0; i < file->header.count; i++)
        if (strcmp(file->header.entries[i].name, name) == 0)
            return &file->header.entries[i];
    return NULL;
}

/* IEEE 754 binary16 to binary32, exactly; infinities and NaN stay what they are. */
static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 31u, fraction = half & 1023u;
    float value;
    if (exponent == 0) {
        value = (float)fraction * 0x1p-24f; /* subnormal */
        return sign != 0 ? -value : value;
    }
    uint32_t bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void covey_safetensors_values(const struct covey_safetensors_entry *entry, float *out)
{
    const uint8_t *at = entry->values;
    for (size_t i = 0; i < entry->count; i++) {
        uint32_t bits;
        switch (entry->type) {
        case COVEY_SAFETENSORS_F32:
            out[i] = covey_load_f32(at + 4 * i, BIG_ENDIAN_HERE);
            break;
        case COVEY_SAFETENSORS_F16:
            out[i] = half_to_float(covey_load_u16(at + 2 * i, BIG_ENDIAN_HERE));
            break;
        case COVEY_SAFETENSORS_BF16:
            bits = (uint32_t)covey_load_u16(at + 2 * i, BIG_ENDIAN_HERE) << 16;
            memcpy(&out[i], &bits, sizeof bits);
            break;
        case COVEY_SAFETENSORS_F64:
            out[i] = (float)covey_load_f64(at + 8 * i, BIG_ENDIAN_HERE);
            break;
        }
    }
}

static enum covey_status match_tensor(const struct covey_tensor *tensor,
                                      const struct covey_safetensors_entry *entry, const char *path,
                                      struct covey_error *err)
{
    if (entry == NULL)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: no tensor '%s'", path, tensor->name);
    bool same = entry->rank == tensor->rank;
    for (uint32_t i = 0; i < tensor->rank && same; i++)
        same = entry->shape[i] == tensor->shape[i];
    if (!same || entry->count != tensor->count)
        return covey_fail(err, COVEY_MISMATCH,
                          "%s: tensor '%s' has %llu values in %u dimensions; the model wants %zu in %u", path,
                          tensor->name, (unsigned long long)entry->count, entry->rank, tensor->count,
                          tensor->rank);
    return COVEY_OK;
}

/* A control variate that the file does not have: a model that was made without begins with those of params.
 */
static bool may_miss(const struct covey_layout *layout, const struct covey_tensor *tensor)
{
    return tensor->offset < layout->update_count &&
           tensor->offset >= layout->update_count - layout->control_count;
}

static enum covey_status check_finite(const struct covey_safetensors *file, const struct covey_layout *layout,
                                      const char *path, struct covey_error *err)
{
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const struct covey_safetensors_entry *entry = covey_safetensors_find(file, layout->tensors[i].name);
        if (entry == NULL && may_miss(layout, &layout->tensors[i]))
            continue;
        COVEY_TRY(match_tensor(&layout->tensors[i], entry, path, err));
        size_t bytes = entry->type == COVEY_SAFETENSORS_F64   ? 8
                       : entry->type == COVEY_SAFETENSORS_F32 ? 4
                                                              : 2;
        for (size_t j = 0; j < entry->count; j++) {
            struct covey_safetensors_entry one = *entry;
            float value;
            one.values += j * bytes;
            one.count = 1;
            covey_safetensors_values(&one, &value);
            if (!isfinite(value))
                return covey_fail(err, COVEY_NOT_FINITE, "%s: value %zu of tensor '%s' is NaN or infinite",
                                  path, j, entry->name);
        }
    }
    return COVEY_OK;
}

enum covey_status covey_safetensors_load(const char *path, const struct covey_layout *layout, float *params,
                                         uint32_t *ignored, struct covey_error *err)
{
    struct covey_safetensors *file;
    COVEY_TRY(covey_safetensors_open(path, &file, err));
    enum covey_status status = check_finite(file, layout, path, err);
    size_t taken = 0;
    for (size_t i = 0; i < layout->tensor_count && status == COVEY_OK; i++) {
        const struct covey_safetensors_entry *entry = covey_safetensors_find(file, layout->tensors[i].name);
        if (entry != NULL)
            covey_safetensors_values(entry, params + layout->tensors[i].offset);
        taken += entry != NULL;
    }
    if (status == COVEY_OK && ignored != NULL)
        *ignored = (uint32_t)(file->header.count - taken);
    covey_safetensors_close(file);
    return status;
}

/* ---- writing ---- */

static void put_text(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text != 0; text++) {
        if (*text == '"' || *text == '\\')
            putc('\\', out);
        if ((unsigned char)*text < 0x20)
            fprintf(out, "\\u%04x", (unsigned)*text);
        else
            putc(*text, out);
    }
    putc('"', out);
}

static void put_header(FILE *out, const struct covey_layout *layout, const char *const *metadata)
{
    uint64_t offset = 0;
    const char *comma = "";
    putc('{', out);
    if (metadata != NULL) {
        fputs("\"__metadata__\":{", out);
        for (; metadata[0] != NULL; metadata += 2, comma = ",") {
            fputs(comma, out);
            put_text(out, metadata[0]);
            putc(':', out);
            put_text(out, metadata[1]);
        }
        putc('}', out);
        comma = ",";
    }
    for (size_t i = 0; i < layout->tensor_count; i++, comma = ",") {
        const struct covey_tensor *tensor = &layout->tensors[i];
        fputs(comma, out);
        put_text(out, tensor->name);
        fputs(":{\"dtype\":\"F32\",\"shape\":[", out);
        for (uint32_t d = 0; d < tensor->rank; d++)
            fprintf(out, d != 0 ? ",%u" : "%u", tensor->shape[d]);
        uint64_t end = offset + (uint64_t)tensor->count * 4;
        fprintf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)offset, (unsigned long long)end);
        offset = end;
    }
    putc('}', out);
    while (ftell(out) % 8 != 0) /* so that values are aligned; the length in front has 8 bytes itself */
        putc(' ', out);
}

static void put_values(FILE *out, const struct covey_layout *layout, const float *params)
{
    for (size_t i = 0; i < layout->tensor_count; i++) {
        const float *values = params + layout->tensors[i].offset;
        if (!BIG_ENDIAN_HERE) {
            fwrite(values, sizeof *values, layout->tensors[i].count, out);
            continue;
        }
        for (size_t j = 0; j < layout->tensors[i].count; j++)
            fwrite(&(uint32_t){covey_load_u32(values + j, true)}, 4, 1, out);
    }
}

enum covey_status covey_safetensors_store(const char *path, const struct covey_layout *layout,
                                          const float *params, const char *const *metadata,
                                          struct covey_error *err)
{
    char temporary[COVEY_FILE_PATH_BYTES];
    uint64_t length = 0;
    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return covey_fail(err, COVEY_LIMIT, "%.60s...: a path too long", path);
    FILE *out = fopen(temporary, "wb");
    if (out == NULL)
        return covey_fail(err, COVEY_IO, "%s: cannot write: %s", temporary, strerror(errno));
    fwrite(&length, LENGTH_BYTES, 1, out);
    put_header(out, layout, metadata);
    long end = ftell(out);
    length = (uint64_t)end - LENGTH_BYTES;
    if (BIG_ENDIAN_HERE)
        covey_swap_elements(&length, 1, sizeof length);
    bool good = end > 0 && fseek(out, 0, SEEK_SET) == 0 && fwrite(&length, LENGTH_BYTES, 1, out) == 1 &&
                fseek(out, end, SEEK_SET) == 0;
    put_values(out, layout, params);
    good = fflush(out) == 0 && !ferror(out) && fsync(fileno(out)) == 0 && good;
    good = fclose(out) == 0 && good;
    if (good && rename(temporary, path) == 0)
        return COVEY_OK;
    enum covey_status status = covey_fail(err, COVEY_IO, "%s: cannot write: %s", path, strerror(errno));
    unlink(temporary);
    return status;
}
