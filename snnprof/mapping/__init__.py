"""Places the layers of a network on the cores of a chip: cores, ways of spikes, and the time of a step."""

from snnprof.mapping.chip import Chip, Cores, Limit, MappingFile
from snnprof.mapping.library import Target, chips, load_chip, load_target
from snnprof.mapping.mapped import Mapping, Placement, map_to_chip

__all__ = [
    "Chip", "Cores", "Limit", "Mapping", "MappingFile", "Placement", "Target", "chips", "load_chip", "load_target",
    "map_to_chip",
]  # fmt: skip
