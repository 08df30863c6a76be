/* Some rows as tiles. */
#include "cpu.h"

void cpu_go_on(struct cpu_tile *t, size_t nr, size_t rows, size_t tiles)
{
    t->a_rows += rows;
    t->out_rows += rows;
    t->row += rows;
    if (t->row_add)
        t->row_add += rows;
    if (t->row_sum)
        t->row_sum += rows;
    if (t->acc)
        t->acc += rows * nr;
    t->far = false;
    t->next += tiles * t->run_count * t->groups * t->next_step;
    if (t->next >= t->next_end)
        t->next_step = 0;
}

/* 'tiles' tiles of 'height' rows each; 'more' rows follow. */
static void same_tiles(const struct qdot_row *row, struct cpu_tile *t, size_t height, size_t tiles,
                       bool more)
{
    const struct cpu_kernel *kernel = row->impl;
    if (kernel->together && kernel->together(t, height, tiles, 0))
        return;
    for (; tiles > 0; tiles--) {
        t->next_a = t->a + t->a_rows[tiles > 1 || more ? height : 0];
        kernel->tile[height - 1](t);
        cpu_go_on(t, row->nr, height, 1);
    }
}

/* Tiles of equal height: 8 rows are 4 + 4, not 6 + 2. */
void cpu_tiles(const struct qdot_row *row, struct cpu_tile *t, size_t rows)
{
    const struct cpu_kernel *kernel = row->impl;
    const size_t most = t->columns <= kernel->tall_columns ? CPU_TALL_MR : row->mr;
    if (rows <= most) {
        if (rows)
            same_tiles(row, t, rows, 1, false);
        return;
    }
    const size_t tiles = (rows + most - 1) / most;
    const size_t height = rows / tiles, higher = rows - height * tiles;
    if (higher)
        same_tiles(row, t, height + 1, higher, true);
    same_tiles(row, t, height, tiles - higher, false);
}
