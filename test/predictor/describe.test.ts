import { describe, expect, it } from 'vitest'
import { describeModel } from '../../src/predictor/describe.ts'
import { PredictorError } from '../../src/predictor/problems.ts'
import { inputProblems, inputSchema, model, problems } from './support.ts'

async function inputNames(
  files: Parameters<typeof model>[0],
  options?: Parameters<typeof model>[1],
): Promise<readonly string[]> {
  return (await model(files, options)).predict?.inputs.map(({ name }) => name) ?? []
}

describe('describeModel() finds', () => {
  it.each([
    [
      'a BasePredictor',
      'from cog import BasePredictor\nclass Predictor(BasePredictor):\n    def predict(self, a: str) -> str: ...\n',
    ],
    [
      'a BaseRunner',
      'from cog import BaseRunner\nclass Predictor(BaseRunner):\n    def run(self, a: str) -> str: ...\n',
    ],
    ['a class of no base', 'class Predictor:\n    def predict(self, a: str) -> str: ...\n'],
    [
      'run before predict',
      'class Predictor:\n    def predict(self, b: str) -> str: ...\n    def run(self, a: str) -> str: ...\n',
    ],
    [
      'an inherited method',
      'class Base:\n    def predict(self, a: str) -> str: ...\nclass Predictor(Base):\n    def setup(self): ...\n',
    ],
    ['a static method', 'class Predictor:\n    @staticmethod\n    def predict(a: str) -> str: ...\n'],
    ['an async method', 'class Predictor:\n    async def predict(self, a: str) -> str: ...\n'],
    [
      'a decorated method',
      'import torch\nclass Predictor:\n    @torch.inference_mode()\n    def predict(self, a: str) -> str: ...\n',
    ],
    [
      'a class behind if',
      'import sys\nif sys.platform:\n    class Predictor:\n        def predict(self, a: str) -> str: ...\n',
    ],
    ['keyword-only inputs', 'class Predictor:\n    def predict(self, *, a: str) -> str: ...\n'],
  ])('%s', async (_, source) => {
    expect(await inputNames(source)).toEqual(['a'])
  })

  it('a plain function', async () => {
    expect(await inputNames({ 'run.py': 'def run(a: str, b: int = 2) -> str: ...\n' }, { run: 'run.py:run' })).toEqual([
      'a',
      'b',
    ])
  })

  it('a class that another file defines', async () => {
    const files = {
      'predict.py': 'from impl.core import Model as Predictor\n',
      'impl/__init__.py': '',
      'impl/core.py': 'from .types import Text\nclass Model:\n    def predict(self, a: Text) -> str: ...\n',
      'impl/types.py': 'Text = str\n',
    }
    expect(await inputNames(files)).toEqual(['a'])
  })

  it('a predictor in a folder, which may import what lies beside it and at the top', async () => {
    const files = {
      'src/predict.py':
        'from helper import A\nfrom common.names import B\nclass Predictor:\n    def predict(self, a: A, b: B) -> str: ...\n',
      'src/helper.py': 'A = str\n',
      'common/names.py': 'B = int\n',
    }
    expect(await inputNames(files, { run: 'src/predict.py:Predictor' })).toEqual(['a', 'b'])
  })

  it('a training function, and both in one document', async () => {
    const files = {
      'predict.py':
        'class Predictor:\n    def predict(self, kind: str = Input(choices=["a"])) -> str: ...\nfrom cog import Input\n',
      'train.py': 'from cog import Input\ndef train(kind: str = Input(choices=["b"])) -> str: ...\n',
    }
    const { openapi, predict, train } = await model(files, { run: 'predict.py:Predictor', train: 'train.py:train' })
    expect([predict?.inputs[0]?.choices, train?.inputs[0]?.choices]).toEqual([['a'], ['b']])
    expect(openapi.components.schemas).toMatchObject({ kind: { enum: ['a'] }, TrainingkindChoices: { enum: ['b'] } })
    expect(Object.keys(openapi.paths)).toContain('/trainings')
  })

  it('types through stubs, re-exports and relative imports', async () => {
    const files = {
      'predict.py':
        'from lib import Result, Mode\nimport lib.deep as d\nclass Predictor:\n    def predict(self, mode: Mode, x: d.X) -> Result: ...\n',
      'lib/__init__.py': 'from .types import *\nfrom ._native import Result\n',
      'lib/types.py': 'from typing import Literal\nMode = Literal["fast", "slow"]\n',
      'lib/_native.pyi': 'from pydantic import BaseModel\nclass Result(BaseModel):\n    ok: bool\n',
      'lib/deep.py': 'from ..lib.types import Mode\nX = int\n',
    }
    const { openapi } = await model(files)
    expect(openapi.components.schemas).toMatchObject({
      mode: { enum: ['fast', 'slow'] },
      Output: { properties: { ok: { type: 'boolean' } } },
      Input: { properties: { x: { type: 'integer' } } },
    })
  })

  it('no file outside the project', async () => {
    const files = {
      'predict.py': 'from ..secret import T\nclass Predictor:\n    def predict(self, a: T) -> str: ...\n',
      '../secret.py': 'T = str\n',
    }
    expect(await problems(files)).toEqual(['unknown-type predict.py:3:26'])
  })

  it('its way out of imports that go in a circle', async () => {
    const files = {
      'predict.py': 'from a import T\nclass Predictor:\n    def predict(self, a: T) -> str: ...\n',
      'a.py': 'from b import T\n',
      'b.py': 'from a import T\n',
    }
    expect(await problems(files)).toEqual(['unknown-type predict.py:3:26'])
  })
})

describe('describeModel() works out', () => {
  it.each<readonly [string, string, string, unknown]>([
    ['a constant', 'SIZES = [1, 2]', 'SIZES', [1, 2]],
    ['a tuple', 'SIZES = (1, 2)', 'SIZES', [1, 2]],
    ['keys of a dict', 'M = {"a": 1, "b": 2}', 'list(M.keys())', ['a', 'b']],
    ['a dict itself', 'M = {"a": 1, "b": 2}', 'list(M)', ['a', 'b']],
    ['a dict in place of a list', 'M = {"a": 1, "b": 2}', 'M', ['a', 'b']],
    ['values sorted downwards', 'M = {"a": "x", "b": "y"}', 'sorted(M.values(), reverse=True)', ['y', 'x']],
    [
      'names of languages as Whisper has them',
      'CODES = {"norwegian nynorsk": "nn", "o\'zbek": "uz"}',
      '["auto"] + sorted(CODES.values()) + sorted([k.title() for k in CODES]) + ["fIRST word".capitalize()]',
      ['auto', 'nn', 'uz', 'Norwegian Nynorsk', "O'Zbek", 'First word'],
    ],
    ['sorted values', 'M = {"a": "y", "b": "x"}', 'sorted(M.values())', ['x', 'y']],
    ['a sum of lists', 'A = ["a"]', 'A + ["b"]', ['a', 'b']],
    ['a splat', 'A = ["a"]', '[*A, "b"]', ['a', 'b']],
    ['a comprehension', 'A = ["a", "b"]', '[x.upper() for x in A]', ['A', 'B']],
    ['an f-string', 'A = [1, 2]', '[f"v{x}" for x in A]', ['v1', 'v2']],
    ['a range', '', '[8 * i for i in range(1, 4)]', [8, 16, 24]],
    [
      'an enum',
      'from enum import Enum\nclass E(str, Enum):\n    A = "a"\n    B = "b"',
      '[e.value for e in E]',
      ['a', 'b'],
    ],
    ['members of an enum', 'from enum import Enum\nclass E(Enum):\n    A = "a"', '[E.A.value]', ['a']],
    ['a split text', '', '"a b c".split()', ['a', 'b', 'c']],
    ['an empty text that is split', '', '["a", *"".split(), *" ".split()]', ['a']],
    [
      'methods of texts',
      '',
      '["A".lower(), " b ".strip(), "-".join(["c", "d"]), *"e,f".split(","), "g" if "xy".endswith("y") else "h"]',
      ['a', 'b', 'c-d', 'e', 'f', 'g'],
    ],
    ['methods of a copied dict', 'A = {"a": "b"}', '[*A.copy().values(), *A.copy()]', ['b', 'a']],
    ['a merged dict', 'A = {"a": 1}\nB = {**A, "b": 2}', 'list(B)', ['a', 'b']],
    ['names that are bound together', 'A, (B, C) = "a", ("b", "c")\nD = E = "d"', '[A, B, C, D, E]', [...'abcdd']],
    ['a name that is made of what it was', 'A = "a"\nA = f"{A}b"\nA += "c"', '[A]', ['abc']],
    ['a list that grows', 'A = ["a"]\nA.append("b")\nA.extend(["c"])\nA += ["d"]', 'A', [...'abcd']],
    ['a dict that grows', 'A = {"a": 1}\nA["b"] = 2\nA.update({"c": 3})', 'list(A)', [...'abc']],
    ['a comprehension with a condition', 'A = ["a", "b", "ab"]', '[x for x in A if "b" in x if x != "b"]', ['ab']],
    ['a conditional', 'N = 3', '["few" if 1 < N <= 3 and not N == 2 else "many"]', ['few']],
    ['a replaced text', '', '["a-b".replace("-", "$&")]', ['a$&b']],
    ['the least and the greatest', 'A = [3, 1, 2]', '[min(A), max(A), max(4, 5)]', [1, 3, 5]],
    ['an entry, or another', 'A = {"a": "x"}', '[A.get("a"), A.get("b", "y")]', ['x', 'y']],
    ['an entry that is None', 'A = {"a": None}', '["x" if A.get("a", "y") is None else "z"]', ['x']],
    ['a branch that is taken', 'F = []\nA = ["a"]\nif not F:\n    A = ["b"]\nelse:\n    A = ["c"]', 'A', ['b']],
    [
      'a branch that is not taken',
      'V = 2\nA = ["a"]\nif V > 2:\n    A = ["b"]\nelif V == 3:\n    A = ["c"]',
      'A',
      ['a'],
    ],
    ['the last branch', 'V = 2\nif V > 2:\n    A = ["b"]\nelse:\n    A = ["c"]', 'A', ['c']],
    ['what is not the main program', 'A = ["a"]\nif __name__ == "__main__":\n    A = ["b"]', 'A', ['a']],
    ['what is bound under with', 'A = ["a"]\nwith lock:\n    A = ["b"]', 'A', ['b']],
    ['a branch within a branch', 'A = ["a"]\nif True:\n    if 1 in [1]:\n        A = ["b"]', 'A', ['b']],
  ])('choices from %s', async (_, before, expression, expected) => {
    const type = typeof (expected as unknown[])[0] === 'number' ? 'int' : 'str'
    const schema = await inputSchema(`x: ${type} = Input(choices=${expression})`, before)
    expect(schema['choices']).toMatchObject({ enum: expected })
  })

  it('constants of the class and of other files', async () => {
    const files = {
      'predict.py':
        'from cog import Input\nimport conf\nfrom conf import LIMITS\nclass Predictor:\n    NAMES = ["a", "b"]\n    def predict(self, x: str = Input(choices=NAMES, default=NAMES[-1]), y: int = Input(ge=conf.LOW, le=LIMITS["high"], default=conf.LOW + 1)) -> str: ...\n',
      'conf.py': 'LOW = 2\nLIMITS = {"high": 2 ** 10}\n',
    }
    expect((await model(files)).predict?.inputs).toMatchObject([
      { choices: ['a', 'b'], default: { value: 'b' } },
      { minimum: 2, maximum: 1024, default: { value: 3 } },
    ])
  })

  it('an Input that a constant holds', async () => {
    const files = {
      'predict.py':
        'from inputs import PROMPT, Inputs\nclass Predictor:\n    def predict(self, a: str = PROMPT, b: int = Inputs.steps) -> str: ...\n',
      'inputs.py':
        'from cog import Input\nTEXT = "the prompt"\nPROMPT = Input(description=TEXT, default="hi")\nclass Inputs:\n    steps = Input(default=4, ge=1)\n',
    }
    expect((await model(files)).predict?.inputs).toMatchObject([
      { description: 'the prompt', default: { value: 'hi' } },
      { minimum: 1, default: { value: 4 } },
    ])
  })

  it('what a module of the project may have, by its name', async () => {
    const files = {
      'predict.py':
        'from cog import Input\nimport conf\nA = "a"\nA = getattr(conf, "A", A)\nB = getattr(conf, "B", "b")\nclass Predictor:\n    def predict(self, x: str = A, y: str = B) -> str: ...\n',
      'conf.py': 'A = "of conf"\n',
    }
    expect((await model(files)).predict?.inputs).toMatchObject([
      { default: { value: 'of conf' } },
      { default: { value: 'b' } },
    ])
  })

  it('tests of modules that import each other', async () => {
    const files = {
      'predict.py':
        'from b import Y\nX = 1\nif Y:\n    X = 2\nclass Predictor:\n    def predict(self, x: int = X) -> str: ...\n',
      'b.py': 'from predict import X\nY = 0\nif X:\n    Y = 1\n',
    }
    expect(await problems(files)).toEqual(['unknown-default predict.py:6:32'])
  })

  it('streaming and concurrency', async () => {
    const source = `import cog
from cog import AsyncConcatenateIterator, streaming
N = 4
class Predictor:
    @streaming
    @cog.concurrent(max=N)
    async def run(self, a: str) -> AsyncConcatenateIterator[str]:
        yield a
`
    const { predict } = await model({ 'run.py': source }, { run: 'run.py:Predictor' })
    expect(predict).toMatchObject({ streaming: true, concurrency: 4, isAsync: true, outputKind: 'concatenate' })
  })

  it.each(['@concurrent', '@concurrent()', '@concurrent(max=1)'])(
    '%s is one at a time, without async',
    async (mark) => {
      const source = `from cog import concurrent\nclass Predictor:\n    ${mark}\n    def predict(self) -> str: ...\n`
      expect((await model(source)).predict?.concurrency).toBe(1)
    },
  )

  it('a component name of its own where an input is named as one of ours', async () => {
    const { openapi } = await model(
      'from cog import Input\nclass Predictor:\n    def predict(self, Input_: int, Status: str = Input(choices=["a"])) -> str: ...\n',
    )
    expect(openapi.components.schemas).toMatchObject({
      Status: { title: 'Status', type: 'string' },
      StatusChoices: { enum: ['a'] },
    })
  })
})

describe('describeModel() does not guess', () => {
  it.each<readonly [string, string]>([
    ['which branch is taken', 'A = ["a"]\nif os.environ.get("X"):\n    A = ["b"]'],
    ['which of two branches is taken', 'if os.environ.get("X"):\n    A = ["b"]\nelse:\n    A = ["c"]'],
    ['what an import finds', 'try:\n    from missing import X\n    A = ["a"]\nexcept ImportError:\n    A = ["b"]'],
    ['what a loop leaves', 'A = ["a"]\nfor x in range(3):\n    A += [str(x)]'],
    ['what a loop leaves when asked', 'A = ["a"]\nwhile busy():\n    A = ["b"]'],
    ['which case is taken', 'A = ["a"]\nmatch os.name:\n    case "nt":\n        A = ["b"]'],
    ['what a method does to a list', 'A = ["b", "a"]\nA.sort()'],
    ['what a method removes', 'A = ["b", "a"]\nA.remove("a")'],
    ['a name that is made of itself alone', 'A = A + ["a"]'],
    ['a name bound later', 'A = B\nB = ["a"]'],
    ['which takes the rest', '*A, B = ["a"], ["b"]'],
    ['whether two texts are one object', 'A = ["a"] if "a" is os.name else ["b"]'],
    ['an alias under a test', 'B = ["b"]\nA = ["a"]\nif os.environ.get("X"):\n    A = B'],
    ['a chain of changes without end', `A = ["a"]\n${'A += ["b"]\n'.repeat(5000)}`],
  ])('%s', async (_, before) => {
    expect(await inputProblems('x: str = Input(choices=A)', `import os\n${before}`)).toEqual(['unknown-choices'])
  })

  it('but takes the first of two classes, and methods of modules for no changes of theirs', async () => {
    const source = `import sys, json
try:
    from fast import Model
except ImportError:
    class Model: ...
json.update({})
if sys.version_info > (3, 11):
    T = list[str]
else:
    T = list[str]
class Predictor:
    def predict(self, x: T) -> str: ...
`
    expect((await model(source)).predict?.inputs).toMatchObject([{ name: 'x' }])
  })
})

describe('describeModel() reads inputs that stand elsewhere', () => {
  const SHARED = `from dataclasses import dataclass
from cog import Input
@dataclass
class Shared:
    text: Input = Input(description="What to say", default="hi")
    size: Input = Input(choices=["s", "m"], default="m")
SHARED = Shared()
`

  it('as attributes of an object of a class, in another file too', async () => {
    const files = {
      'shared.py': SHARED,
      'predict.py': `from shared import SHARED
class Predictor:
    def predict(self, text: str = SHARED.text, size: str = SHARED.size) -> str: ...
`,
    }
    expect((await model(files)).predict?.inputs).toMatchObject([
      { name: 'text', default: { value: 'hi' }, description: 'What to say' },
      { name: 'size', default: { value: 'm' }, choices: ['s', 'm'] },
    ])
  })

  it('as what the call of the class is given', async () => {
    const source = `${SHARED}OTHER = Shared(size=Input(choices=["l"], default="l"))
class Predictor:
    def predict(self, size: str = OTHER.size) -> str: ...
`
    expect((await model(source)).predict?.inputs).toMatchObject([{ name: 'size', choices: ['l'] }])
  })

  it.each(['def __init__(self): ...', 'def __post_init__(self): ...', 'def __getattr__(self, name): ...'])(
    'but not of a class with `%s`',
    async (method) => {
      const source = `${SHARED}class Own(Shared):
    ${method}
OWN = Own()
class Predictor:
    def predict(self, size: str = OWN.size) -> str: ...
`
      expect(await problems(source)).toEqual([expect.stringMatching(/^unknown-default /)])
    },
  )

  it.each<readonly [string, string, string]>([
    ['a static method', 'class A:\n    @staticmethod\n    def f(on: bool) -> Input:', 'A.f(True)'],
    ['a class method', 'class A:\n    @classmethod\n    def f(cls, on: bool):', 'A.f(on=True)'],
    ['a function', 'def f(on):', 'f(True)'],
    ['the default of a parameter', 'def f(on=True):', 'f()'],
  ])('as what %s gives', async (_, head, call) => {
    const indent = head.includes('class A') ? '        ' : '    '
    const source = `from cog import Input
${head}
${indent}"""Makes the input."""
${indent}return Input(description="Be quick", default=on)
class Predictor:
    def predict(self, quick: bool = ${call}) -> str: ...
`
    const input = { name: 'quick', default: { value: true }, description: 'Be quick' }
    expect((await model(source)).predict?.inputs).toMatchObject([input])
  })

  it.each<readonly [string, string, string]>([
    ['more than a return', 'def f(a):\n    a = not a\n    return Input(default=a)\n', 'f(True)'],
    ['an argument too many', 'def f(a):\n    return Input(default=a)\n', 'f(True, False)'],
    ['an unknown argument', 'def f(a):\n    return Input(default=a)\n', 'f(b=True)'],
    ['an argument that only running tells', 'def f(a):\n    return Input(default=a)\n', 'f(os.getcwd())'],
    ['a decorator', '@wrap\ndef f(a):\n    return Input(default=a)\n', 'f(True)'],
    ['a call of itself', 'def f(a):\n    return f(a)\n', 'f(True)'],
  ])('but not from a function with %s', async (_, before, call) => {
    expect(await inputProblems(`x: bool = ${call}`, `import os\n${before}`)).toEqual(['unknown-default'])
  })

  it('describes a method that code puts another in place of, and says so', async () => {
    const source = `class Predictor:
    def predict(self, text: str = "a") -> str: ...
    if flag():
        predict = without(predict, "text")
`
    const description = await model(source)
    expect(description.predict?.inputs).toMatchObject([{ name: 'text' }])
    expect(description.warnings).toMatchObject([{ code: 'replaced-method', line: 4 }])
  })

  it('knows the limits of NumPy integers', async () => {
    const source = `import numpy as np
from cog import Input
MAX_SEED = np.iinfo(np.int32).max
class Predictor:
    def predict(self, seed: int = Input(le=MAX_SEED, ge=np.iinfo(np.int8).min, default=0)) -> str: ...
`
    expect((await model(source)).predict?.inputs).toMatchObject([{ maximum: 2147483647, minimum: -128 }])
  })

  it('says which package the unknown comes from', async () => {
    const source = `from cog import Input
from speech.words import LANGUAGES
NAMES = sorted(LANGUAGES.keys())
class Predictor:
    def predict(self, x: str = Input(choices=NAMES)) -> str: ...
`
    await expect(model(source)).rejects.toMatchObject({
      issues: [{ hint: expect.stringMatching(/^`LANGUAGES` comes from `speech\.words`/) as string }],
    })
  })

  it('says what has become of the decorators of the first Cog', async () => {
    const source = `import cog
class Predictor(cog.Predictor):
    @cog.input("image", type=str)
    def predict(self, image): ...
`
    expect(await problems(source)).toEqual(['invalid-input predict.py:3:6'])
  })

  it('lets a project be that Cog takes: an odd default, choice or description is a warning', async () => {
    const source = `import os
from cog import Input
class Predictor:
    def predict(
        self,
        a: str = Input(choices=["x"], default="y"),
        b: str = Input(default=512, choices=[512]),
        c: str = Input(default="", description=os.getcwd()),
    ) -> str: ...
`
    const { predict, warnings } = await model(source)
    expect(predict?.inputs).toMatchObject([{ default: { value: 'y' } }, { default: { value: 512 } }, { name: 'c' }])
    expect(warnings.map(({ code }) => code)).toEqual([
      'invalid-default',
      'invalid-default',
      'invalid-constraint',
      'unknown-value',
    ])
  })
})

describe('describeModel() describes as Cog does, with a warning,', () => {
  it.each<readonly [string, string, object]>([
    ['further arguments', 'x: str, *args: int, **options', { properties: { x: {} }, required: ['x'] }],
    ['a default in Input() that only running tells', 'x: str = Input(default=os.getcwd())', { required: ['x'] }],
    ['a limit on text', 'x: str = Input(default="", ge=1)', { properties: { x: { default: '' } } }],
    ['a length on a number', 'x: int = Input(default=1, min_length=1)', { properties: { x: { default: 1 } } }],
  ])('%s', async (_, parameters, expected) => {
    const head = 'import os\nfrom cog import Input\nclass Predictor:\n'
    const { openapi, warnings } = await model(`${head}    def predict(self, ${parameters}) -> str: ...\n`)
    expect(openapi.components.schemas['Input']).toMatchObject(expected)
    expect(Object.keys(openapi.components.schemas['Input']?.['properties'] ?? {})).toEqual(['x'])
    expect(warnings.length).toBeGreaterThan(0)
  })
})

describe('describeModel() reports', () => {
  it.each<readonly [string, string, readonly string[]]>([
    ['an unknown argument', 'x: int = Input(gt=1)', ['invalid-input']],
    ['a default factory', 'x: list[int] = Input(default_factory=list)', ['invalid-input']],
    ['arguments that are not written out', 'x: int = Input(**{"ge": 1})', ['invalid-input']],
    ['choices that only running tells', 'x: str = Input(choices=load())', ['unknown-choices']],
    ['a default that only running tells', 'x: str = os.getcwd()', ['unknown-default']],
    ['a limit that only running tells', 'x: int = Input(ge=limit())', ['unknown-value']],
    ['a limit on text', 'x: str = Input(ge=1)', ['invalid-constraint']],
    ['a length on a number', 'x: int = Input(min_length=1)', ['invalid-constraint']],
    ['a negative length', 'x: str = Input(min_length=-1)', ['invalid-constraint']],
    ['choices of a file', 'x: Path = Input(choices=["a"])', ['invalid-constraint']],
    ['choices on a union', 'x: str | int = Input(choices=["a"])', ['invalid-constraint']],
    ['limits on a union', 'x: str | int = Input(ge=1)', ['invalid-constraint']],
    ['choices of another type', 'x: int = Input(choices=["a"])', ['invalid-constraint']],
    ['no choices', 'x: str = Input(choices=[])', ['invalid-constraint']],
    ['a default that is no choice', 'x: str = Input(choices=["a"], default="b")', ['invalid-default']],
    ['a default of another type', 'x: int = "a"', ['invalid-default']],
    ['a fraction for a whole number', 'x: int = 1.5', ['invalid-default']],
    ['None for a type that is not optional', 'x: int = None', ['none-default']],
    ['a missing type', 'x', ['missing-type']],
    ['further arguments', '*x: int', ['unsupported-parameter']],
    ['further keywords', '**x', ['unsupported-parameter']],
    ['a default in Input() that only running tells', 'x: str = Input(default=os.getcwd())', ['unknown-default']],
  ])('%s', async (_, parameter, codes) => {
    expect(await inputProblems(parameter, 'import os')).toEqual(codes)
  })

  it.each<readonly [string, string, readonly string[]]>([
    [
      'a missing return type',
      'class Predictor:\n    def predict(self, a: str): ...\n',
      ['missing-return-type predict.py:2:9'],
    ],
    [
      'a class that is not there',
      'class Predict:\n    def predict(self) -> str: ...\n',
      ['predictor-missing predict.py:1:1'],
    ],
    [
      'a method that is not there',
      'class Predictor:\n    def predicts(self) -> str: ...\n',
      ['method-missing predict.py:1:7'],
    ],
    ['broken syntax', 'class Predictor:\n    def predict(self -> str: ...\n', ['syntax-error predict.py:2:22']],
    [
      'streaming of a plain value',
      'from cog import streaming\nclass Predictor:\n    @streaming\n    def predict(self) -> str: ...\n',
      ['invalid-streaming predict.py:3:6'],
    ],
    [
      'a generator of a plain value',
      'class Predictor:\n    def predict(self) -> str:\n        yield "a"\n',
      ['invalid-output predict.py:2:26'],
    ],
    [
      'an iterator within a list',
      'from typing import Iterator\nclass Predictor:\n    def predict(self) -> list[Iterator[str]]: ...\n',
      ['unsupported-type predict.py:3:26'],
    ],
    [
      'an iterator of joined numbers',
      'from cog import ConcatenateIterator\nclass Predictor:\n    def predict(self) -> ConcatenateIterator[int]: ...\n',
      ['unsupported-type predict.py:3:46'],
    ],
    [
      'concurrency without async',
      'from cog import concurrent\nclass Predictor:\n    @concurrent(max=2)\n    def predict(self) -> str: ...\n',
      ['invalid-concurrency predict.py:3:6'],
    ],
    [
      'concurrency that is no number',
      'from cog import concurrent\nclass Predictor:\n    @concurrent(max=n())\n    async def predict(self) -> str: ...\n',
      ['invalid-concurrency predict.py:3:6'],
    ],
  ])('%s', async (_, source, expected) => {
    expect(await problems(source)).toEqual(expected)
  })

  it('concurrency of cog.yaml without async', async () => {
    const files: Readonly<Record<string, string>> = {
      'a.py': 'def run(x: int) -> int: ...\nasync def later(x: int) -> int: ...\n',
    }
    const at = (run: string) =>
      describeModel({ projectFolder: '/nowhere', run, readFile: (path) => files[path], maxConcurrency: 4 })
    await expect(at('a.py:run')).rejects.toThrow(/a\.py:1:5: `concurrency\.max` is 4, which needs `async def run`/)
    expect((await at('a.py:later')).predict?.isAsync).toBe(true)
  })

  it('everything at once, in the order of the files', async () => {
    const source =
      'from cog import Input\nclass Predictor:\n    def predict(self, a, b: bytes, c: int = Input(ge="x"), d: str = Input(choice=["a"])):\n        pass\n'
    expect(await problems(source)).toEqual([
      'missing-return-type predict.py:3:9',
      'missing-type predict.py:3:23',
      'unsupported-type predict.py:3:29',
      'invalid-constraint predict.py:3:54',
      'invalid-input predict.py:3:75',
    ])
  })

  it('the nearest name', async () => {
    const error: unknown = await model('class Predictr:\n    def predict(self) -> str: ...\n').catch(
      (error: unknown) => error,
    )
    expect(error instanceof PredictorError && error.issues[0]).toMatchObject({
      suggestion: 'Predictr',
      hint: 'It defines: Predictr.',
    })
  })

  it('a problem in the file that it is in', async () => {
    const files = {
      'predict.py': 'from types_ import Out\nclass Predictor:\n    def predict(self) -> Out: ...\n',
      'types_.py': 'from pydantic import BaseModel\nclass Out(BaseModel):\n    a: set[int]\n',
    }
    expect(await problems(files)).toEqual(['unsupported-type types_.py:3:8'])
  })

  it('a missing file', async () => {
    expect(await problems({}, { run: 'gone.py:Predictor' })).toEqual(['file-missing gone.py:1:1'])
  })
})

describe('choices from a dict', () => {
  it.each([
    ['list(S)', 'S = {"a": object, "b": make()}'],
    ['S.keys()', 'S = {"a": object, "b": make()}'],
    ['list(S.keys()) + []', 'S = {**{"a": object}, "b": 1}'],
    ['[key for key in S]', 'S = {"a": make, "b": make}'],
  ])('%s needs its keys alone', async (choices, before) => {
    expect(await inputSchema(`a: str = Input(choices=${choices})`, before)).toMatchObject({
      choices: { enum: ['a', 'b'] },
    })
  })

  it('whose values only Python knows are not known', async () => {
    expect(await inputProblems('a: str = Input(choices=list(S.values()))', 'S = {"a": make()}')).toHaveLength(1)
  })
})
