/* Lines of elements, in plain C. */
#define TARGET
#define KERNEL cpu_elements
#define LANES 16
#include "quantize_lines.h"
