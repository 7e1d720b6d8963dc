import { describe, expect, it } from 'vitest';
import { OriginRule } from '../../src/http/origin.ts';
import type { AllowedOrigins } from '../../src/options.ts';

function verdict(allowed: AllowedOrigins | null, origin: string | undefined, host?: string): string {
  const errors: unknown[] = [];
  try {
    new OriginRule(allowed, (cause) => errors.push(cause)).check({ address: '', origin, host });
    return 'allowed';
  } catch (refusal) {
    return `${(refusal as { code: string }).code}${errors.length === 0 ? '' : ' and an error'}`;
  }
}

describe('OriginRule', () => {
  it.each([
    ['https://app.example', 'app.example'],
    ['https://app.example', 'app.example:443'],
    ['https://app.example:443', 'APP.example'],
    ['http://app.example', 'app.example:80'],
    ['http://localhost:3000', 'localhost:3000'],
    ['http://[::1]:3000', '[::1]:3000'],
    [undefined, 'app.example'],
    [undefined, undefined],
  ])('allows %s on the host %s by default', (origin, host) => {
    expect(verdict(null, origin, host)).toBe('allowed');
  });

  it.each([
    ['https://evil.example', 'app.example'],
    ['https://app.example', 'app.example:80'],
    ['http://localhost:3001', 'localhost:3000'],
    ['https://app.example.evil', 'app.example'],
    ['https://app.example', undefined],
    ['null', 'app.example'],
    ['app.example', 'app.example'],
    ['', 'app.example'],
  ])('refuses %s on the host %s by default', (origin, host) => {
    expect(verdict(null, origin, host)).toBe('origin_not_allowed');
  });

  it('compares listed origins after normalising both', () => {
    const list = ['https://App.example/', 'http://localhost:80', 'capacitor://localhost'];
    for (const origin of ['https://app.example:443', 'http://localhost', 'capacitor://localhost', undefined]) {
      expect(verdict(list, origin), String(origin)).toBe('allowed');
    }
    for (const origin of ['http://app.example', 'https://app.example:8443', 'null', 'https://x.app.example']) {
      expect(verdict(list, origin), origin).toBe('origin_not_allowed');
    }
  });

  it('allows all with an asterisk', () => {
    expect(verdict('*', 'https://evil.example')).toBe('allowed');
  });

  it('asks a rule, and takes nothing but true for a yes', () => {
    expect(verdict((origin) => origin.endsWith('.example'), 'https://a.example')).toBe('allowed');
    expect(verdict((origin) => origin.endsWith('.example'), 'https://a.test')).toBe('origin_not_allowed');
    const asyncRule = (async () => true) as unknown as AllowedOrigins;
    expect(verdict(asyncRule, 'https://a.test')).toBe('origin_not_allowed');
  });

  it('reports a rule that throws, and refuses', () => {
    const broken = () => {
      throw new Error('broken');
    };
    expect(verdict(broken, 'https://a.test')).toBe('internal_error and an error');
  });

  it('says in the refusal which origin, and which option to change', () => {
    expect(() => new OriginRule(null, () => {}).check({ address: '', origin: 'https://a.test', host: 'b' })).toThrow(
      /"https:\/\/a\.test".*allowedOrigins/,
    );
  });
});
