// The fenced code blocks of a Markdown document.

export interface CodeBlock {
  readonly language: string;
  readonly code: string;
  /** The number of the line that opens the block. */
  readonly line: number;
}

/** The blocks in their order; an unnamed language is the empty string. */
export function codeBlocks(markdown: string): CodeBlock[] {
  return [...markdown.matchAll(/^```(\w*)[^\n]*\n([\s\S]*?)^```/gm)].map((match) => ({
    language: String(match[1]),
    code: String(match[2]),
    line: markdown.slice(0, match.index).split('\n').length,
  }));
}
