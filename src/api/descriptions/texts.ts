// The form of the texts of this folder.

/** By "GROUP.Type", where GROUP is the first word of the API group ("core", "meta", "apps"), then by field; '' is the type. */
export type Texts = Readonly<Record<string, Readonly<Record<string, string>>>>
