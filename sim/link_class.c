/* Classes of links, with published figures. */
#include <stdio.h>
#include <string.h>

#include "world_parts.h"

/* Rates are what IP sees; joules of a byte are power over rate. Round trips and losses are usual ones of the
 * technology, chosen here, where no source is named. */
static const struct link_class classes[] = {
    {.name = "perfect", .source = "no time at all; bytes are counted"},
    {.name = "ethernet",
     .up_bits_per_s = 100e6,
     .down_bits_per_s = 100e6,
     .round_trip_ms = 1,
     .joules_per_byte_up = 5e-8,
     .joules_per_byte_down = 5e-8,
     .source = "IEEE 802.3u"},
    {.name = "wifi",
     .up_bits_per_s = 24e6,
     .down_bits_per_s = 24e6,
     .round_trip_ms = 10,
     .loss = .005,
     .joules_per_byte_up = 7e-6,
     .joules_per_byte_down = 7e-6,
     .source = "a third of 802.11n's 72 Mbit/s; joules: Balasubramanian et al. 2009, IMC, table 4"},
    {.name = "lte-m",
     .up_bits_per_s = 375e3,
     .down_bits_per_s = 300e3,
     .round_trip_ms = 100,
     .loss = .01,
     .joules_per_byte_up = 15e-6,
     .joules_per_byte_down = 7e-6,
     .source = "Cat-M1 half duplex, 3GPP release 13; joules: u-blox SARA-R410M, 190 mA at 3.8 V"},
    {.name = "nb-iot",
     .up_bits_per_s = 62.5e3,
     .down_bits_per_s = 26e3,
     .round_trip_ms = 1600,
     .loss = .01,
     .joules_per_byte_up = 100e-6,
     .joules_per_byte_down = 51e-6,
     .source = "Cat-NB1 multi-tone, 3GPP release 13; joules: u-blox SARA-N2, 220 mA at 3.6 V"},
    {.name = "802.15.4",
     .up_bits_per_s = 100e3,
     .down_bits_per_s = 100e3,
     .round_trip_ms = 30,
     .loss = .02,
     .joules_per_byte_up = 5.8e-6,
     .joules_per_byte_down = 4.8e-6,
     .source = "250 kbit/s less 6LoWPAN (RFC 4944) and CSMA; joules: TI CC2538, 24 and 20 mA at 3 V"},
};

const struct link_class *link_class_at(size_t index)
{
    return index < sizeof classes / sizeof classes[0] ? &classes[index] : NULL;
}

const char *link_class_names(char out[256])
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof classes / sizeof classes[0] && used < 256; i++)
        used += (size_t)snprintf(out + used, 256 - used, "%s%s", i > 0 ? ", " : "", classes[i].name);
    return out;
}

const struct link_class *link_class_find(const char *name)
{
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strcmp(classes[i].name, name) == 0)
            return &classes[i];
    return NULL;
}
