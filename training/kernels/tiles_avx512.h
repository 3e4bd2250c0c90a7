/* Vectors and register tiles for 32 registers of 16 floats. */
#define LANES 16
#define FORWARD_UNITS 2
#define FORWARD_EXAMPLES 5
#define INPUT_EXAMPLES 5
#define INPUT_VECTORS 4
#define WEIGHT_UNITS 4
#define WEIGHT_VECTORS 4
#define TILE_PIXELS 7
#define TILE_VECTORS 4
#define GATHER_VECTORS 10
