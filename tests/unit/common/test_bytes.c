#include <criterion/criterion.h>
#include <string.h>

#include "covey/bytes.h"

Test(bytes, hex_there_and_back)
{
    uint8_t all[256], back[256];
    char text[513];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)i;
    covey_hex_write(all, sizeof all, text);
    cr_expect_eq(strlen(text), 512);
    cr_expect(strncmp(text, "000102", 6) == 0 && strcmp(text + 506, "fdfeff") == 0);
    cr_assert_eq(covey_hex_read(text, back, sizeof back), 0);
    cr_expect_eq(memcmp(all, back, sizeof all), 0);
    covey_hex_write(all, 0, text);
    cr_expect_str_eq(text, "");
}

Test(bytes, hex_that_is_wrong_is_refused_and_writes_nothing)
{
    static const char *const texts[] = {"",     "0",    "012",  "01234", "012345",
                                        "01 2", "0x12", "01g2", "012G",  " 0123"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint8_t out[2] = {0xAA, 0xAA};
        cr_expect_eq(covey_hex_read(texts[i], out, 2), -1, "'%s'", texts[i]);
        cr_expect(out[0] == 0xAA && out[1] == 0xAA);
    }
    uint8_t out[2];
    cr_expect_eq(covey_hex_read("aBcD", out, 2), 0);
    cr_expect(out[0] == 0xAB && out[1] == 0xCD);
}
