import type { DiagnosticCode } from '../core/diagnostic-codes.ts'
import { evaluate } from './evaluate.ts'
import { findFunction, type Target } from './find-function.ts'
import { readInput, type InputDescription } from './input.ts'
import type { Module, Modules, Scope } from './modules.ts'
import type { Problems } from './problems.ts'
import type { Expression, FunctionSyntax, Parameter, Place } from './syntax.ts'
import { TypeReader } from './types.ts'
import { holds, holdsWithin, type ValueType } from './value-type.ts'

/** What calling a predictor takes and gives. */
export interface Signature {
  readonly inputs: readonly InputDescription[]
  readonly output: ValueType
  readonly isAsync: boolean
  /** Whether `@streaming` stands on it. */
  readonly streaming: boolean
  /** What `@concurrent(max=N)` says; 1 without it. */
  readonly concurrency: number
}

/** Reads the signature of a class's method or of a function. Reports every problem; gives undefined when there is nothing to read. */
export function readSignature(
  module: Module,
  target: Target,
  modules: Modules,
  problems: Problems,
): Signature | undefined {
  const found = findFunction(module, target, modules, problems)
  if (found === undefined) return undefined
  const { syntax, scope, isMethod } = found
  if ((target.concurrency ?? 1) > 1 && !syntax.isAsync) {
    const message = `\`concurrency.max\` is ${target.concurrency}, which needs \`async def ${syntax.name}\``
    problems.error('invalid-concurrency', message, scope.module, syntax.place)
  }
  return new SignatureReader(modules, problems, scope, isMethod).read(syntax)
}

class SignatureReader {
  readonly #modules: Modules
  readonly #problems: Problems
  readonly #scope: Scope
  readonly #isMethod: boolean
  readonly #types: TypeReader

  constructor(modules: Modules, problems: Problems, scope: Scope, isMethod: boolean) {
    this.#modules = modules
    this.#problems = problems
    this.#scope = scope
    this.#isMethod = isMethod
    this.#types = new TypeReader(modules, problems)
  }

  read(syntax: FunctionSyntax): Signature {
    const old = syntax.decorators.find((decorator) => this.#externalName(decorator) === 'cog.input')
    if (old !== undefined) {
      this.#error('invalid-input', '`@cog.input` is of Cog before 0.1 and no longer exists', old.place, {
        hint: `Write each input as a parameter: \`def ${syntax.name}(self, image: Path = Input(description="...")) -> Path\`.`,
      })
      return { inputs: [], output: { kind: 'any' }, isAsync: syntax.isAsync, streaming: false, concurrency: 1 }
    }
    const parameters = this.#isMethod ? syntax.parameters.slice(1) : syntax.parameters
    const inputs = parameters.flatMap((parameter) => this.#input(parameter) ?? [])
    const output = this.#output(syntax)
    const decorators = syntax.decorators.map((decorator) => ({ decorator, name: this.#externalName(decorator) }))
    const streaming = decorators.find(({ name }) => name === 'cog.streaming')
    if (streaming !== undefined && output.kind !== 'iterator') {
      this.#error(
        'invalid-streaming',
        `\`@streaming\` needs an iterator as output, not \`${syntax.returns?.text ?? 'nothing'}\``,
        streaming.decorator.place,
        {
          hint: 'Annotate the output as Iterator[T] or ConcatenateIterator[str].',
        },
      )
    }
    if (syntax.isGenerator && output.kind !== 'iterator' && output.kind !== 'any' && syntax.returns !== undefined) {
      this.#error(
        'invalid-output',
        `\`${syntax.name}\` yields values, so its output is an iterator, not \`${syntax.returns.text}\``,
        syntax.returns.place,
        {
          hint: 'Annotate the output as Iterator[T] or ConcatenateIterator[str].',
        },
      )
    }
    const concurrent = decorators.find(({ name }) => name === 'cog.concurrent')
    return {
      inputs,
      output,
      isAsync: syntax.isAsync,
      streaming: streaming !== undefined,
      concurrency: concurrent === undefined ? 1 : this.#concurrency(concurrent.decorator, syntax),
    }
  }

  #externalName(decorator: Expression): string | undefined {
    const meaning = this.#modules.resolve(decorator.kind === 'call' ? decorator.target : decorator, this.#scope)
    return meaning?.kind === 'external' ? meaning.name : undefined
  }

  #concurrency(decorator: Expression, syntax: FunctionSyntax): number {
    const given = decorator.kind === 'call' ? [...decorator.keywords, ...decorator.positional] : []
    // `@concurrent` and `@concurrent()` are what `max=1` is.
    if (given.length === 0) return 1
    const argument =
      decorator.kind === 'call'
        ? (decorator.keywords.find(({ name }) => name === 'max')?.value ?? decorator.positional[0])
        : undefined
    const max = argument === undefined ? undefined : evaluate(argument, this.#scope, this.#modules)?.value
    if (typeof max !== 'number' || !Number.isInteger(max) || max < 1) {
      this.#error(
        'invalid-concurrency',
        '`@concurrent` takes a whole number of at least 1: `@concurrent(max=4)`',
        decorator.place,
      )
      return 1
    }
    if (max > 1 && !syntax.isAsync) {
      this.#error(
        'invalid-concurrency',
        `More than one prediction at once needs \`async def ${syntax.name}\``,
        decorator.place,
      )
    }
    return max
  }

  #output(syntax: FunctionSyntax): ValueType {
    if (syntax.returns === undefined) {
      this.#error('missing-return-type', `\`${syntax.name}\` does not say what it returns`, syntax.place, {
        hint: 'Add an annotation, such as `-> str` or `-> Path`.',
      })
      return { kind: 'any' }
    }
    const type = this.#types.read(syntax.returns, this.#scope)
    const nested = holdsWithin(type, (inner) => inner.kind === 'iterator')
    if (nested)
      this.#error(
        'unsupported-type',
        `An iterator must be the whole output: \`${syntax.returns.text}\``,
        syntax.returns.place,
      )
    return type
  }

  #input(parameter: Parameter): InputDescription | undefined {
    const { name, kind, annotation, place } = parameter
    if (kind !== 'normal') {
      // They stay empty, as with Cog: what no input is named for is dropped from a request.
      const message = `Inputs have names: \`${kind === 'args' ? '*' : '**'}${name}\` is given nothing`
      this.#problems.warn('unsupported-parameter', message, this.#scope.module, place)
      return undefined
    }
    if (annotation === undefined) {
      this.#error('missing-type', `The input \`${name}\` has no type`, place, {
        hint: `Add an annotation, such as \`${name}: str\`.`,
      })
      return undefined
    }
    const type = this.#types.read(annotation, this.#scope)
    if (holds(type, (inner) => inner.kind === 'iterator')) {
      this.#error('unsupported-type', `An input cannot be an iterator: \`${annotation.text}\``, annotation.place)
    }
    if (holds(type, (inner) => inner.kind === 'object' && inner.form !== 'typed-dict')) {
      this.#error('unsupported-type', `An input cannot be a model: \`${annotation.text}\``, annotation.place, {
        hint: 'Use a TypedDict, a dict, or one input for each field.',
      })
    }
    return readInput(parameter, type, this.#scope, this.#modules, this.#problems)
  }

  #error(
    code: DiagnosticCode,
    message: string,
    place: Place,
    details: { readonly hint?: string | undefined; readonly suggestion?: string | undefined } = {},
  ): void {
    this.#problems.error(code, message, this.#scope.module, place, details)
  }
}
