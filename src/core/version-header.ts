/** In a request the version of a model that is wanted, whatever the weights; in an answer the one that gave it. */
export const VERSION_HEADER = 'x-model-version'
