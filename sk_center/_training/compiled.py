"""Methods of a net that torch has compiled."""

import torch


class CompiledMethods:
    """Compiled methods by name; copies and pickles have none."""

    def __init__(self):
        self._methods = {}

    def __call__(self, net, name):
        """Return a method of a net, compiled if the net asks for that."""
        if not net.compile:
            return getattr(net, name)
        if name not in self._methods:
            params = net.get_params_for("compile")
            self._methods[name] = torch.compile(getattr(net, name), **params)
        return self._methods[name]

    def __reduce__(self):
        return CompiledMethods, ()
