/* Spoken digits by speaker: recordings of 8 kHz become 32 x 20 log energies, computed here. */
#include "sim_sets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "covey/dataset_load.h"

#define RATE_HZ 8000
#define FRAMES 32 /* over one second, from the beginning of the recording */
#define STEP 250  /* samples from frame to frame */
#define SPAN 256  /* samples of a frame */
#define BANDS 20  /* triangles evenly spread over the mel scale from LOW_HZ to RATE_HZ / 2 */
#define LOW_HZ 100.0
#define FLOOR 6.0    /* decades below the recording's loudest band that still count */
#define SILENCE 1e-3 /* added to every energy */
#define RECORDINGS 500u
#define TEST_TAKES 5 /* the authors' split: takes 0 to 4 of each digit and speaker */
#define FEATURES (FRAMES * BANDS)

struct spectrum {
    double window[SPAN], cosine[SPAN / 2], sine[SPAN / 2];
    double weight[BANDS][SPAN / 2 + 1];
    int first[BANDS], end[BANDS]; /* bins of the band: elsewhere its weight is 0 */
};

/* Hertz to mel and back: O'Shaughnessy 1987. */
static double mel(double hertz)
{
    return 2595 * log10(1 + hertz / 700);
}

static void prepare(struct spectrum *spectrum)
{
    const double low = mel(LOW_HZ), step = (mel(RATE_HZ / 2.0) - low) / (BANDS + 1);
    for (int i = 0; i < SPAN; i++)
        spectrum->window[i] = .5 - .5 * cos(2 * M_PI * i / SPAN);
    for (int i = 0; i < SPAN / 2; i++) {
        spectrum->cosine[i] = cos(2 * M_PI * i / SPAN);
        spectrum->sine[i] = -sin(2 * M_PI * i / SPAN);
    }
    for (int band = 0; band < BANDS; band++) {
        for (int bin = 0; bin <= SPAN / 2; bin++) {
            const double at = (mel((double)bin * RATE_HZ / SPAN) - low) / step - band; /* peak at 1 */
            const double height = 1 - fabs(at - 1);
            spectrum->weight[band][bin] = height > 0 ? height : 0;
            if (height > 0 && spectrum->end[band] == 0)
                spectrum->first[band] = bin;
            if (height > 0)
                spectrum->end[band] = bin + 1;
        }
    }
}

/* Radix-2 in place (Cooley and Tukey 1965). re, im: (SPAN). */
static void transform(const struct spectrum *spectrum, double *re, double *im)
{
    for (unsigned i = 1, j = 0; i < SPAN; i++) {
        unsigned bit = SPAN >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j ^= bit;
        if (i < j) {
            const double swapped = re[i];
            re[i] = re[j];
            re[j] = swapped;
        }
    }
    for (unsigned size = 2; size <= SPAN; size *= 2) {
        for (unsigned start = 0; start < SPAN; start += size) {
            for (unsigned k = 0; k < size / 2; k++) {
                const unsigned a = start + k, b = a + size / 2, turn = k * (SPAN / size);
                const double c = spectrum->cosine[turn], s = spectrum->sine[turn];
                const double x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
                re[b] = re[a] - x;
                im[b] = im[a] - y;
                re[a] += x;
                im[a] += y;
            }
        }
    }
}

static void frame_energies(const struct spectrum *spectrum, const float *audio, uint32_t samples,
                           uint32_t first, double energies[BANDS])
{
    double re[SPAN] = {0}, im[SPAN] = {0};
    if (first >= samples) {
        for (int band = 0; band < BANDS; band++)
            energies[band] = log10(SILENCE);
        return;
    }
    for (uint32_t i = 0; i < SPAN && first + i < samples; i++)
        re[i] = audio[first + i] * spectrum->window[i];
    transform(spectrum, re, im);
    for (int band = 0; band < BANDS; band++) {
        double sum = SILENCE;
        for (int bin = spectrum->first[band]; bin < spectrum->end[band]; bin++)
            sum += spectrum->weight[band][bin] * (re[bin] * re[bin] + im[bin] * im[bin]);
        energies[band] = log10(sum);
    }
}

/* x: (FRAMES, BANDS), mean 0: microphones and voices differ in loudness, digits do not. */
static void recording_features(const struct spectrum *spectrum, const float *audio, uint32_t samples,
                               float *x)
{
    double energies[FRAMES][BANDS], loudest = -HUGE_VAL, sum = 0;
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        frame_energies(spectrum, audio, samples, frame * STEP, energies[frame]);
        for (int band = 0; band < BANDS; band++)
            loudest = energies[frame][band] > loudest ? energies[frame][band] : loudest;
    }
    for (int i = 0; i < FEATURES; i++) {
        double *value = &energies[i / BANDS][i % BANDS];
        *value = *value > loudest - FLOOR ? *value : loudest - FLOOR;
        sum += *value;
    }
    for (int i = 0; i < FEATURES; i++)
        x[i] = (float)((energies[i / BANDS][i % BANDS] - sum / FEATURES) / 1.5);
}

/* ------------------------------------------------------------------ files */

struct part {
    float *x;
    uint8_t *labels;
    uint32_t count, room;
};

/* audio: (total) samples of one speaker; index.csv: digit,take,split,offset,samples. */
static enum covey_status add_speaker(const struct spectrum *spectrum, const char *path, const float *audio,
                                     uint32_t total, uint32_t speaker, struct part *train, struct part *test,
                                     uint32_t *owners, struct covey_error *err)
{
    char line[128];
    uint32_t count = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return covey_fail(err, COVEY_NOT_FOUND, "%s cannot be read", path);
    while (fgets(line, sizeof line, file) != NULL && count < RECORDINGS) {
        unsigned digit, take, offset, samples;
        if (sscanf(line, "%u,%u,%*[^,],%u,%u", &digit, &take, &offset, &samples) != 4)
            continue; /* the header */
        struct part *part = take < TEST_TAKES ? test : train;
        if (digit > 9 || offset > total || samples > total - offset || part->count == part->room) {
            (void)fclose(file);
            return covey_fail(err, COVEY_CORRUPT, "%s: recording %u is not in the audio", path, count);
        }
        if (part == train)
            owners[part->count] = speaker;
        recording_features(spectrum, audio + offset, samples, part->x + (size_t)part->count * FEATURES);
        part->labels[part->count++] = (uint8_t)digit;
        count++;
    }
    (void)fclose(file);
    return count == RECORDINGS
               ? COVEY_OK
               : covey_fail(err, COVEY_CORRUPT, "%s: %u recordings, not %u", path, count, RECORDINGS);
}

static enum covey_status load_audio(const char *folder, const char *name, float **out, uint32_t *count,
                                    struct covey_error *err)
{
    char *names[] = {(char *)(uintptr_t)name};
    const struct covey_data_config config = {.inputs = {names, 1}};
    struct covey_dataset table = {0};
    COVEY_TRY(covey_data_load(&config, folder, &table, err));
    enum covey_status status = COVEY_OK;
    float *samples = calloc((size_t)table.count + 1, sizeof *samples);
    if (samples == NULL || table.inputs.width != 1)
        status = covey_fail(err, samples == NULL ? COVEY_NO_MEMORY : COVEY_MISMATCH,
                            "%s/%s: not one sample after the other, or no memory", folder, name);
    else
        status = covey_dataset_read(&table, NULL, 0, table.count, samples, NULL, NULL);
    *count = table.count;
    covey_dataset_deinit(&table);
    if (status == COVEY_OK)
        *out = samples;
    else
        free(samples);
    return status;
}

static struct covey_dataset speech_dataset(const struct part *part)
{
    return (struct covey_dataset){.count = part->count,
                                  .rows = part->count,
                                  .inputs = {.values = part->x, .type = COVEY_ELEMENT_F32, .width = FEATURES},
                                  .labels = {.values = part->labels, .type = COVEY_ELEMENT_U8, .width = 1},
                                  .rank = 3,
                                  .shape = {FRAMES, BANDS, 1}};
}

enum covey_status set_load_spoken_digits(const char *folder, struct covey_sim_data *out,
                                         struct covey_error *err)
{
    static const char *const speakers[] = {"george", "jackson", "lucas", "nicolas", "theo", "yweweler"};
    const uint32_t speaker_count = sizeof speakers / sizeof speakers[0], most = speaker_count * RECORDINGS;
    struct spectrum *spectrum = calloc(1, sizeof *spectrum);
    struct part train = {.x = out->memory[0] = calloc((size_t)most * FEATURES, sizeof(float)),
                         .labels = out->memory[1] = calloc(most, 1),
                         .room = most};
    struct part test = {.x = out->memory[2] = calloc((size_t)most / 5 * FEATURES, sizeof(float)),
                        .labels = out->memory[3] = calloc(most / 5, 1),
                        .room = most / 5};
    out->owners = calloc(most, sizeof *out->owners);
    enum covey_status status = COVEY_OK;
    if (spectrum == NULL || train.x == NULL || train.labels == NULL || test.x == NULL ||
        test.labels == NULL || out->owners == NULL)
        status = covey_fail(err, COVEY_NO_MEMORY, "no memory for %u recordings", most);
    else
        prepare(spectrum);
    for (uint32_t speaker = 0; speaker < speaker_count && status == COVEY_OK; speaker++) {
        char name[64], path[COVEY_FILE_PATH_BYTES + 32];
        float *audio = NULL;
        uint32_t total = 0;
        (void)snprintf(name, sizeof name, "%s/audio-idx1-short.gz", speakers[speaker]);
        (void)snprintf(path, sizeof path, "%s/%s/index.csv", folder, speakers[speaker]);
        status = load_audio(folder, name, &audio, &total, err);
        if (status == COVEY_OK)
            status = add_speaker(spectrum, path, audio, total, speaker, &train, &test, out->owners, err);
        free(audio);
    }
    free(spectrum);
    out->owner_count = speaker_count;
    out->train = speech_dataset(&train);
    out->test = speech_dataset(&test);
    return status;
}
