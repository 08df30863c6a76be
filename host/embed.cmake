# cmake -DIN=file -DOUT=file.c -DSYMBOL=name -P embed.cmake: a file's bytes as a C array. An array,
# not a string: C promises only 4,095 characters in a string literal.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(................................................................................)" "\\1\n" bytes "${bytes}")
string(LENGTH "${hex}" digits)
math(EXPR size "${digits} / 2")
file(WRITE ${OUT} "#include <stddef.h>
#include <stdint.h>
extern const unsigned char ${SYMBOL}[];
extern const size_t ${SYMBOL}_size;
_Alignas(uint32_t) const unsigned char ${SYMBOL}[] = {
${bytes}0};
const size_t ${SYMBOL}_size = ${size};
")
