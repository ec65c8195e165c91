/** Where a piece of source stands. Lines and columns start at 1; the end is on the same line as the start. */
export interface Place {
  readonly line: number
  readonly column: number
  readonly endColumn: number
}

/** A Python expression, as far as signatures use them; everything else is `other`. */
export type Expression = (
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'attribute'; readonly object: Expression; readonly name: string }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'format'; readonly parts: readonly Expression[] }
  | { readonly kind: 'number'; readonly value: number; readonly isFloat: boolean }
  | { readonly kind: 'constant'; readonly value: boolean | null }
  | { readonly kind: 'ellipsis' }
  | { readonly kind: 'list' | 'tuple' | 'set'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly entries: readonly (readonly [key: Expression | undefined, value: Expression])[] }
  | {
      readonly kind: 'call'
      readonly target: Expression
      readonly positional: readonly Expression[]
      readonly keywords: readonly Keyword[]
    }
  | { readonly kind: 'subscript'; readonly value: Expression; readonly items: readonly Expression[] }
  | { readonly kind: 'binary'; readonly operator: string; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'unary'; readonly operator: string; readonly operand: Expression }
  /** `a < b`, `a in b`, `a and b`; a chain of comparisons is one of each pair, joined by `and`. */
  | { readonly kind: 'test'; readonly operator: string; readonly left: Expression; readonly right: Expression }
  | {
      readonly kind: 'conditional'
      readonly test: Expression
      readonly consequence: Expression
      readonly alternative: Expression
    }
  | { readonly kind: 'splat'; readonly value: Expression }
  | {
      readonly kind: 'comprehension'
      readonly body: Expression
      readonly variable: string
      readonly source: Expression
      readonly conditions: readonly Expression[]
    }
  | { readonly kind: 'other' }
) & {
  /** As written. */
  readonly text: string
  readonly place: Place
}

/** An expression of one kind. */
export type ExpressionOf<K extends Expression['kind']> = Extract<Expression, { readonly kind: K }>

/** `name=value` in a call; the name is undefined for `**value`. */
export interface Keyword {
  readonly name: string | undefined
  readonly value: Expression
  readonly place: Place
}

/** One parameter of a function. */
export interface Parameter {
  readonly name: string
  /** `*args` and `**kwargs` take what is left over. */
  readonly kind: 'normal' | 'args' | 'kwargs'
  readonly annotation: Expression | undefined
  readonly value: Expression | undefined
  readonly place: Place
}

/** A function or method. */
export interface FunctionSyntax {
  readonly kind: 'function'
  readonly name: string
  readonly isAsync: boolean
  /** Whether the body yields, so that calling it gives an iterator. */
  readonly isGenerator: boolean
  readonly parameters: readonly Parameter[]
  readonly returns: Expression | undefined
  /** What it gives, when giving that is all that it does. */
  readonly result: Expression | undefined
  readonly decorators: readonly Expression[]
  readonly place: Place
}

/** A class with the statements of its body. */
export interface ClassSyntax {
  readonly kind: 'class'
  readonly name: string
  readonly bases: readonly Expression[]
  readonly keywords: readonly Keyword[]
  readonly decorators: readonly Expression[]
  readonly body: readonly Statement[]
  readonly place: Place
}

/** `name: annotation = value`; also `type Name = value`. */
export interface AssignSyntax {
  readonly kind: 'assign'
  readonly name: string
  /** For `name += value` and `name.append(value)`, which mean something only for what was assigned before. */
  readonly isChange?: true
  readonly annotation: Expression | undefined
  readonly value: Expression | undefined
  readonly place: Place
}

/** `import a.b as c` binds `c`; `import a.b` binds `a`. */
export interface ImportSyntax {
  readonly kind: 'import'
  readonly module: string
  readonly alias: string | undefined
  readonly place: Place
}

/** `from ..a import b as c`; level 2, and `*` as the name of everything. */
export interface FromSyntax {
  readonly kind: 'from'
  readonly level: number
  readonly module: string
  readonly name: string
  readonly alias: string
  readonly place: Place
}

/** What must be so for a statement to be run: a test that holds or does not; without a test nobody can tell. */
export interface Guard {
  readonly test: Expression | undefined
  readonly holds: boolean
}

/** Where a statement stands among the branches of `if`, `try` and loops. */
export interface Branch {
  /** Whether an earlier branch wins where nobody can tell which is taken. */
  readonly fallback: boolean
  readonly guards: readonly Guard[]
}

/** A statement that binds a name. */
export type Statement = (FunctionSyntax | ClassSyntax | AssignSyntax | ImportSyntax | FromSyntax) & Branch

/** A place at which a file cannot be read, with the reason where it is known. */
export interface Fault extends Place {
  readonly message?: string
}

/** What is known of a Python file. */
export interface ModuleSyntax {
  readonly statements: readonly Statement[]
  /** Places at which the grammar was lost. */
  readonly errors: readonly Fault[]
}
