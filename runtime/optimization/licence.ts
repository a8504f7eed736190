/** May a model be changed and passed on under its licence? */

/** Identifiers of SPDX whose terms forbid derivatives: the ND licences of Creative Commons, whatever version and country. */
const NO_DERIVATIVES = /^cc-by-(nc-)?nd-\d/i;

/** An SPDX licence expression: identifiers with WITH, AND, OR and parentheses, OR binding least. */
class Expression {
  readonly #tokens: string[];
  #at = 0;

  constructor(text: string) {
    this.#tokens = text.match(/[()]|[^\s()]+/g) ?? [];
  }

  /** With OR it is the user's choice, with AND all terms hold. */
  permits(): boolean {
    let permitted = this.#all();
    while (this.#take("OR")) permitted = this.#all() || permitted;
    return permitted;
  }

  #all(): boolean {
    let permitted = this.#one();
    while (this.#take("AND")) permitted = this.#one() && permitted;
    return permitted;
  }

  #one(): boolean {
    if (this.#take("(")) {
      const permitted = this.permits();
      this.#take(")");
      return permitted;
    }
    const identifier = this.#tokens[this.#at] ?? "";
    this.#at += 1;
    // An exception adds permissions to a licence, none of them to change what may not be changed.
    if (this.#take("WITH")) this.#at += 1;
    return !NO_DERIVATIVES.test(identifier);
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at]?.toUpperCase() !== token) return false;
    this.#at += 1;
    return true;
  }
}

/**
 * Does the licence, an SPDX expression, allow derivatives? A licence that is not known does: only its owner can tell.
 */
export function allowsDerivatives(licence: string): boolean {
  return new Expression(licence).permits();
}
