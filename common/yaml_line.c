/* Where a key stands in a file, for messages about values that are wrong only beside others. */
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "covey/yaml.h"

/* The value of `key` (bytes long) in a mapping; NULL when it is not there. *line: of the key. */
static yaml_node_t *find_key(yaml_document_t *document, const yaml_node_t *node, const char *key,
                             size_t bytes, size_t *line)
{
    if (node->type != YAML_MAPPING_NODE)
        return NULL;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *word = yaml_document_get_node(document, pair->key);
        if (word == NULL || word->type != YAML_SCALAR_NODE || word->data.scalar.length != bytes ||
            memcmp(word->data.scalar.value, key, bytes) != 0)
            continue;
        *line = word->start_mark.line + 1;
        return yaml_document_get_node(document, pair->value);
    }
    return NULL;
}

uint32_t covey_yaml_line(const char *file, const char *path)
{
    yaml_parser_t parser;
    yaml_document_t document;
    size_t line = 1;
    FILE *in = fopen(file, "rbe");
    if (in == NULL)
        return 1;
    if (yaml_parser_initialize(&parser) == 0) {
        (void)fclose(in);
        return 1;
    }
    yaml_parser_set_input_file(&parser, in);
    if (yaml_parser_load(&parser, &document) != 0) {
        const yaml_node_t *node = yaml_document_get_root_node(&document);
        while (node != NULL && *path != '\0') {
            const size_t bytes = strcspn(path, ".");
            node = find_key(&document, node, path, bytes, &line);
            path += bytes + (path[bytes] == '.');
        }
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    (void)fclose(in);
    return (uint32_t)line;
}
