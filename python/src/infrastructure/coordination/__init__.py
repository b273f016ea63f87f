"""The older import path, from a checkout only: nobody's site-packages should hold a `src`. It and `src.infrastructure` are
namespace packages: they take nothing from a project that has folders of these names itself."""

from coordination import *
from coordination import __all__ as __all__
