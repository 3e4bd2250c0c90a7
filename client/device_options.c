/* What all subcommands share: their options, their failures, their output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_commands.h"

static int usage(const struct covey_command *command, const char *what, const char *word)
{
    fprintf(stderr, "covey-client %s: %s '%s'; see covey-client %s --help\n", command->name, what, word,
            command->name);
    return COVEY_EXIT_USAGE;
}

static const struct covey_option *find_option(const struct covey_option *options, const char *word,
                                              size_t length)
{
    for (; options->name != NULL; options++)
        if (strlen(options->name) == length && strncmp(options->name, word, length) == 0)
            return options;
    return NULL;
}

int covey_options_read(const struct covey_command *command, int argc, char **argv,
                       const struct covey_option *options, const char **operand)
{
    if (operand != NULL)
        *operand = NULL;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i], *equals = strchr(word, '=');
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            printf("covey-client %s %s [options]: %s\n\n%s", command->name, command->arguments,
                   command->summary, command->help);
            return COVEY_EXIT_DONE;
        }
        if (word[0] != '-' || word[1] == 0) {
            if (operand == NULL || *operand != NULL)
                return usage(command, "one argument too many:", word);
            *operand = word;
            continue;
        }
        const struct covey_option *option =
            find_option(options, word, equals != NULL ? (size_t)(equals - word) : strlen(word));
        if (option == NULL)
            return usage(command, "there is no option", word);
        if (option->flag != NULL) {
            if (equals != NULL)
                return usage(command, "no value is wanted after", option->name);
            *option->flag = 1;
        } else if (equals != NULL) {
            *option->value = equals + 1;
        } else if (i + 1 < argc) {
            *option->value = argv[++i];
        } else {
            return usage(command, "a value is missing after", word);
        }
    }
    if (operand != NULL && *operand == NULL)
        return usage(command, "an argument is missing:", command->arguments);
    return -1;
}

int covey_option_number(const struct covey_command *command, const char *name, const char *text,
                        long long minimum, long long maximum, long long *out)
{
    char *end;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != 0 || value < minimum || value > maximum) {
        fprintf(stderr, "covey-client %s: %s: '%s' is not a whole number from %lld to %lld\n", command->name,
                name, text, minimum, maximum);
        return COVEY_EXIT_USAGE;
    }
    *out = value;
    return -1;
}

int covey_command_fail(const struct covey_command *command, enum covey_status status,
                       const struct covey_error *err)
{
    fprintf(stderr, "covey-client %s: %s\n", command->name,
            err->text[0] != 0 ? err->text : covey_status_text(status));
    return status == COVEY_INVALID || status == COVEY_NOT_FOUND ? COVEY_EXIT_USAGE : COVEY_EXIT_FAILED;
}

void covey_print_json(struct covey_json *json)
{
    if (json->overflow)
        return;
    fputs(json->out, stdout);
    fputc('\n', stdout);
    fflush(stdout);
}
