import type { BaseDraft, BaseRequest } from './base-draft.ts'
import type { ResolveContext } from './context.ts'
import { cudaBase } from './cuda-base.ts'
import { debianBase } from './debian-base.ts'
import { imageBase } from './image-base.ts'

/** Drafts the base by rule, never by what happens to be reachable: stated image, else by kind, else by GPU. */
export function draftBase(request: BaseRequest, context: ResolveContext): Promise<BaseDraft> {
  const { build } = request.config
  if (build.baseImage !== undefined) {
    return imageBase(build.baseImage, 'build.base_image names it', request, context)
  }
  const kind = build.base === 'auto' ? (build.gpu ? 'cuda' : 'debian') : build.base
  switch (kind) {
    case 'cuda':
      return cudaBase(request, context)
    case 'slim':
      return debianBase('build.base is slim: CUDA comes from wheels alone', request, context)
    case 'debian':
      return debianBase(
        build.base === 'auto' ? 'no GPU is asked for, and Debian needs no registry' : 'build.base names it',
        request,
        context,
      )
    case 'python-slim': {
      const version = request.environment.python
      return imageBase(`docker://python:${version}-slim`, 'build.base is python-slim', request, context)
    }
  }
}
