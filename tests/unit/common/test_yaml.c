#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "covey/limits.h"
#include "covey/yaml.h"

enum { COLOUR_RED, COLOUR_GREEN };

struct part {
    char *name;
    int64_t weight;
    char **tags;
    uint32_t tag_count;
};

struct inner {
    double rate;
    char *note;
};

struct outer {
    bool on;
    int64_t epochs;
    double share;
    char *title;
    int64_t colour;
    struct inner inner;
    int64_t *shape;
    uint32_t shape_count;
    struct part *parts;
    uint32_t part_count;
};

static const char *const colours[] = {"red", "green", NULL};

static const struct covey_field part_fields[] = {
    {.key = "name", .kind = COVEY_FIELD_TEXT, .offset = offsetof(struct part, name), .required = true},
    {.key = "weight", .kind = COVEY_FIELD_INT, .offset = offsetof(struct part, weight)},
    {.key = "tags",
     .kind = COVEY_FIELD_LIST,
     .offset = offsetof(struct part, tags),
     .count_offset = offsetof(struct part, tag_count),
     .item_kind = COVEY_FIELD_TEXT,
     .item_bytes = sizeof(char *),
     .item_limit = 3},
    {0}};

static const struct covey_field inner_fields[] = {
    {.key = "rate",
     .kind = COVEY_FIELD_REAL,
     .offset = offsetof(struct inner, rate),
     .minimum = 0,
     .maximum = 1,
     .hint = "a share such as 0.1"},
    {.key = "note", .kind = COVEY_FIELD_TEXT, .offset = offsetof(struct inner, note)},
    {0}};

static const struct covey_field outer_fields[] = {
    {.key = "on", .kind = COVEY_FIELD_BOOL, .offset = offsetof(struct outer, on)},
    {.key = "epochs",
     .kind = COVEY_FIELD_INT,
     .offset = offsetof(struct outer, epochs),
     .required = true,
     .minimum = 1,
     .maximum = 1000,
     .hint = "passes over the local data"},
    {.key = "share", .kind = COVEY_FIELD_REAL, .offset = offsetof(struct outer, share)},
    {.key = "title", .kind = COVEY_FIELD_TEXT, .offset = offsetof(struct outer, title)},
    {.key = "colour",
     .kind = COVEY_FIELD_CHOICE,
     .offset = offsetof(struct outer, colour),
     .choices = colours},
    {.key = "inner",
     .kind = COVEY_FIELD_MAPPING,
     .offset = offsetof(struct outer, inner),
     .fields = inner_fields},
    {.key = "shape",
     .kind = COVEY_FIELD_LIST,
     .offset = offsetof(struct outer, shape),
     .count_offset = offsetof(struct outer, shape_count),
     .item_kind = COVEY_FIELD_INT,
     .item_bytes = sizeof(int64_t),
     .item_limit = 4,
     .minimum = 1,
     .maximum = 100},
    {.key = "parts",
     .kind = COVEY_FIELD_LIST,
     .offset = offsetof(struct outer, parts),
     .count_offset = offsetof(struct outer, part_count),
     .item_kind = COVEY_FIELD_MAPPING,
     .item_bytes = sizeof(struct part),
     .fields = part_fields,
     .item_limit = 3},
    {0}};

static const struct outer defaults = {.share = .5, .title = "untitled", .inner = {.rate = .25}};

static enum covey_status load(const char *text, struct outer *out, struct covey_error *err)
{
    return covey_yaml_load_text("t.yaml", text, strlen(text), outer_fields, out, sizeof *out, err);
}

Test(yaml, every_kind_is_read)
{
    struct outer outer = defaults;
    struct covey_error err = {0};
    const char *text = "# a comment\n"
                       "on: yes\n"
                       "epochs: 5\n"
                       "share: -1.5e3\n"
                       "title: 'it''s text: 12'\n"
                       "colour: green\n"
                       "inner: {rate: 1, note: \"tab\\tü\"}\n"
                       "shape: [28, 28, 1]\n"
                       "parts:\n"
                       "  - name: first\n"
                       "    weight: -7\n"
                       "    tags: [a, b]\n"
                       "  - {name: second}\n";
    cr_assert_eq(load(text, &outer, &err), COVEY_OK, "%s", err.text);
    cr_expect(outer.on);
    cr_expect_eq(outer.epochs, 5);
    cr_expect_eq(outer.share, -1500.0);
    cr_expect_str_eq(outer.title, "it's text: 12");
    cr_expect_eq(outer.colour, COLOUR_GREEN);
    cr_expect_eq(outer.inner.rate, 1.0);
    cr_expect_str_eq(outer.inner.note, "tab\tü");
    cr_assert_eq(outer.shape_count, 3);
    cr_expect(outer.shape[0] == 28 && outer.shape[1] == 28 && outer.shape[2] == 1);
    cr_assert_eq(outer.part_count, 2);
    cr_expect_str_eq(outer.parts[0].name, "first");
    cr_expect_eq(outer.parts[0].weight, -7);
    cr_assert_eq(outer.parts[0].tag_count, 2);
    cr_expect_str_eq(outer.parts[0].tags[1], "b");
    cr_expect_str_eq(outer.parts[1].name, "second");
    cr_expect_eq(outer.parts[1].tag_count, 0);
    covey_yaml_free(outer_fields, &outer, &defaults);
    cr_expect_str_eq(outer.title, "untitled");
    cr_expect_null(outer.parts);
}

Test(yaml, defaults_stay_where_the_file_is_silent)
{
    struct outer outer = defaults;
    struct covey_error err = {0};
    cr_assert_eq(load("epochs: 2\ninner: {note: x}\n", &outer, &err), COVEY_OK, "%s", err.text);
    cr_expect_eq(outer.epochs, 2);
    cr_expect_eq(outer.share, .5);
    cr_expect_eq(outer.title, defaults.title, "the default itself, not a copy");
    cr_expect_eq(outer.inner.rate, .25);
    cr_expect_null(outer.shape);
    covey_yaml_free(outer_fields, &outer, &defaults);
}

struct refusal {
    const char *text;
    const char *expected; /* the message, from its beginning */
};

static const struct refusal refusals[] = {
    {"epochs: 1\nepoch: 2\n", "t.yaml:2: unknown key 'epoch': did you mean 'epochs'?"},
    {"epochs: 1\n\n\nshrae: 2\n", "t.yaml:4: unknown key 'shrae': did you mean 'share'?"},
    {"epochs: 1\nzebra: 2\n",
     "t.yaml:2: unknown key 'zebra': possible here: on, epochs, share, title, colour, inner, shape, parts"},
    {"epochs: 1\ninner:\n  rat: 1\n", "t.yaml:3: unknown key 'rat': did you mean 'rate'?"},
    {"epochs: 1\nparts:\n  - name: a\n  - name: b\n    wieght: 1\n",
     "t.yaml:5: unknown key 'wieght': did you mean 'weight'?"},
    {"epochs: many\n", "t.yaml:1: 'epochs' must be a whole number, not 'many': passes over the local data"},
    {"epochs: 12abc\n", "t.yaml:1: 'epochs' must be a whole number, not '12abc'"},
    {"epochs: 1.5\n", "t.yaml:1: 'epochs' must be a whole number, not '1.5'"},
    {"epochs: 99999999999999999999\n", "t.yaml:1: 'epochs' must be a whole number"},
    {"epochs:\n", "t.yaml:1: 'epochs' must be a whole number, not ''"},
    {"epochs: '1'\n", "t.yaml:1: 'epochs' is a text here: leave out the quotes"},
    {"epochs: 0\n", "t.yaml:1: 'epochs' is 0, must be from 1 to 1000: passes over the local data"},
    {"epochs: 1\ninner: {rate: 1.5}\n", "t.yaml:2: 'rate' is 1.5, must be from 0 to 1: a share such as 0.1"},
    {"epochs: 1\nshare: nan\n", "t.yaml:2: 'share' must be a number, not 'nan'"},
    {"epochs: 1\nshare: 1e999\n", "t.yaml:2: 'share' must be a number"},
    {"epochs: 1\nshare: 0x10\n", "t.yaml:2: 'share' must be a number"},
    {"epochs: 1\non: maybe\n", "t.yaml:2: 'on' must be true or false, not 'maybe'"},
    {"epochs: 1\ncolour: gren\n", "t.yaml:2: 'colour' cannot be 'gren': did you mean 'green'?"},
    {"epochs: 1\ncolour: ultramarine\n",
     "t.yaml:2: 'colour' cannot be 'ultramarine': possible here: red, green"},
    {"epochs: 1\ninner: 3\n",
     "t.yaml:2: 'inner' must be a mapping (lines of key: value), but a single value stands there"},
    {"epochs: 1\ninner:\n",
     "t.yaml:2: 'inner' must be a mapping (lines of key: value), but nothing stands there"},
    {"epochs: [1]\n", "t.yaml:1: 'epochs' must be a single value, but a list stands there"},
    {"epochs: 1\nshape: 3\n", "t.yaml:2: 'shape' must be a list"},
    {"epochs: 1\nshape:\n  - 1\n  - x\n", "t.yaml:4: 'shape' must be a whole number, not 'x'"},
    {"epochs: 1\nshape: [1, 101]\n", "t.yaml:2: 'shape' is 101, must be from 1 to 100"},
    {"epochs: 1\nshape: [1, 2, 3, 4, 5]\n", "t.yaml:2: 'shape' has too many items: at most 4 are possible"},
    {"epochs: 1\nparts:\n- weight: 3\n- name: x\n", "t.yaml:3: key 'name' is missing"},
    {"epochs: 1\nepochs: 2\n", "t.yaml:2: key 'epochs' is there twice"},
    {"on: true\n", "t.yaml:1: key 'epochs' is missing: passes over the local data"},
    {"", "t.yaml:1: key 'epochs' is missing"},
    {"- 1\n", "t.yaml:1: the file must be a mapping"},
    {"just text\n", "t.yaml:1: the file must be a mapping"},
    {"epochs: 1\n---\nepochs: 2\n", "t.yaml:2: a second document begins"},
    {"epochs: 1\ntitle: 'x\n", "t.yaml:3: not valid YAML: "},
    {"epochs: 1\n\tshare: 2\n", "t.yaml:2: not valid YAML: "},
    {"epochs: 1\ntitle: &a x\ninner: {note: *a}\n",
     "t.yaml:3: aliases are not supported: write the value of '*a' out"},
    {"epochs: 1\ntitle: \"a\\0b\"\n", "t.yaml:2: a text must not hold a zero byte"},
    {"? [1]\n: 2\n", "t.yaml:1: a key must be a word"},
    {"epochs: 1\nparts: [[1]]\n", "t.yaml:2: 'parts' must be a mapping"},
    {"epochs: 1\ntitle: \xff\n", "t.yaml:"},
};

Test(yaml, what_is_wrong_is_named_with_its_line)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct outer outer = defaults;
        struct covey_error err = {0};
        cr_expect_eq(load(refusals[i].text, &outer, &err), COVEY_INVALID, "%s", refusals[i].text);
        cr_expect(strncmp(err.text, refusals[i].expected, strlen(refusals[i].expected)) == 0,
                  "\n%s\n  said     %s\n  expected %s", refusals[i].text, err.text, refusals[i].expected);
        cr_expect(memcmp(&outer, &defaults, sizeof outer) == 0, "untouched after: %s", refusals[i].text);
    }
}

Test(yaml, size_is_bounded)
{
    struct outer outer = defaults;
    struct covey_error err = {0};
    char *text = malloc(COVEY_YAML_BYTES + 1);
    memset(text, '[', COVEY_YAML_BYTES + 1);
    cr_expect_eq(
        covey_yaml_load_text("big", text, COVEY_YAML_BYTES + 1, outer_fields, &outer, sizeof outer, &err),
        COVEY_LIMIT);
    cr_expect_eq(
        covey_yaml_load_text("deep", text, COVEY_YAML_BYTES, outer_fields, &outer, sizeof outer, &err),
        COVEY_INVALID);
    free(text);
}

Test(yaml, files)
{
    struct outer outer = defaults;
    struct covey_error err = {0};
    char file[] = "/tmp/covey-yaml-XXXXXX";
    const int fd = mkstemp(file);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, "epochs: 3\nfoo: 1\n", 17), 17);
    close(fd);
    cr_expect_eq(covey_yaml_load_file(file, outer_fields, &outer, sizeof outer, &err), COVEY_INVALID);
    cr_expect(strstr(err.text, file) == err.text && strstr(err.text, ":2: unknown key 'foo'") != NULL, "%s",
              err.text);
    unlink(file);
    cr_expect_eq(covey_yaml_load_file(file, outer_fields, &outer, sizeof outer, &err), COVEY_NOT_FOUND);
    cr_expect_eq(covey_yaml_load_file("/", outer_fields, &outer, sizeof outer, &err), COVEY_IO);
}
