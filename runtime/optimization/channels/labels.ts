/**
 * Channels of all tensors of a model, as labels: two with the same label are kept or removed together, since a layer
 * adds them, or computes one from the other alone.
 */
export class Labels {
  readonly #parent: number[] = [];
  readonly #pinned = new Set<number>();

  /** Labels of channels that nothing is known of yet. */
  fresh(count: number): number[] {
    const first = this.#parent.length;
    const labels = Array.from({ length: count }, (_, index) => first + index);
    this.#parent.push(...labels);
    return labels;
  }

  /** The one label that stands for all that are kept or removed together. */
  find(label: number): number {
    let root = label;
    for (let parent = this.#parent[root] ?? root; parent !== root; parent = this.#parent[root] ?? root) root = parent;
    for (let at = label; at !== root;) {
      const next = this.#parent[at] ?? root;
      this.#parent[at] = root;
      at = next;
    }
    return root;
  }

  union(a: number, b: number): void {
    const [first, second] = [this.find(a), this.find(b)];
    if (first === second) return;
    this.#parent[second] = first;
    if (this.#pinned.delete(second)) this.#pinned.add(first);
  }

  /** These channels stay, whatever is removed. */
  pin(labels: readonly number[]): void {
    for (const label of labels) this.#pinned.add(this.find(label));
  }

  isPinned(label: number): boolean {
    return this.#pinned.has(this.find(label));
  }
}
