"""Which convention and which prices does a printed energy follow?

A paper prints counts and an energy. `audit` tries all ways (`readings`) to turn the counts into an energy and keeps
those that give the printed one, within the rounding of all printed digits.
"""

from snnprof.audit.figures import Counted, Figures
from snnprof.audit.groups import Group
from snnprof.audit.hints import Near, variants
from snnprof.audit.matching import Audit, Shared, audit, shared

__all__ = ["Audit", "Counted", "Figures", "Group", "Near", "Shared", "audit", "shared", "variants"]
