"""Search spaces of the judge, in the words of a sweep file and of Optuna.

A space is a list of parameters. Both optimisers get the same values and the same conditions, each in the form that its users write:
an ordinal parameter is a list of numbers in a sweep file, and the position in the list for Optuna, which has no ordinal scale.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter: `kind` is float, int, categorical or ordinal, and `when` names another parameter and its values."""

    name: str
    kind: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    values: tuple = ()
    when: tuple | None = None

    def is_active(self, point):
        """Whether the parameter exists beside the values of `point`."""
        return self.when is None or point.get(self.when[0]) in self.when[1]

    def declaration(self):
        """The declaration in a sweep file."""
        if self.values:
            declared = {"values": list(self.values)}
        elif self.kind == "int":
            declared = {"min": self.low, "max": self.high}
            if self.log:
                declared |= {"distribution": "q_log_uniform_values", "q": 1}
        else:
            declared = {"min": float(self.low), "max": float(self.high)}
            declared |= {"distribution": "log_uniform_values" if self.log else "uniform"}
        if self.when is not None:
            declared["when"] = {self.when[0]: list(self.when[1])}
        return declared

    def suggest(self, trial):
        """The value that a trial of Optuna suggests."""
        match self.kind:
            case "float":
                return trial.suggest_float(self.name, self.low, self.high, log=self.log)
            case "int":
                return trial.suggest_int(self.name, self.low, self.high, log=self.log)
            case "categorical":
                return trial.suggest_categorical(self.name, self.values)
            case "ordinal":
                return self.values[trial.suggest_int(self.name, 0, len(self.values) - 1)]

    def draw(self, generator):
        """A random value, by the distribution of the sweep file."""
        if self.values:
            return self.values[generator.integers(len(self.values))]
        if self.kind == "int" and not self.log:
            return int(generator.integers(self.low, self.high + 1))
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        value = generator.uniform(low, high)
        value = math.exp(value) if self.log else value
        return round(value) if self.kind == "int" else value


class Space(list):
    """Parameters, each after the one that its condition names."""

    def declarations(self):
        """The `parameters` of a sweep file."""
        return {parameter.name: parameter.declaration() for parameter in self}

    def point(self, choose):
        """A point, each of whose parameters has the value that `choose` returns."""
        point = {}
        for parameter in self:
            if parameter.is_active(point):
                point[parameter.name] = choose(parameter)
        return point

    def suggest(self, trial):
        """The point that a trial of Optuna suggests."""
        return self.point(lambda parameter: parameter.suggest(trial))

    def draw(self, generator):
        """A random point."""
        return self.point(lambda parameter: parameter.draw(generator))

    def is_continuous(self):
        """Whether each parameter is a number that always exists, which CMA-ES needs."""
        return all(parameter.kind == "float" and parameter.when is None for parameter in self)
