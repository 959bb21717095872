//! Enums of strings to which a newer server may add values.

/// Declares such an enum, its conversions and, with the feature `utoipa`, its schema from one list of values.
macro_rules! open_enum {
    (
        $(#[$enum_doc:meta])*
        pub enum $enum:ident {
            $($(#[$doc:meta])* $name:ident = $word:literal,)+
            ..
            $(#[$other_doc:meta])*
            Other,
        }
    ) => {
        $(#[$enum_doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        #[non_exhaustive]
        pub enum $enum {
            $($(#[$doc])* $name,)+
            $(#[$other_doc])*
            Other(String),
        }

        impl $enum {
            /// The values with a variant in this version.
            #[cfg(any(test, feature = "utoipa"))]
            pub(crate) const VALUES: &[&str] = &[$($word),+];

            /// Returns the value as the server sent it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $enum {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$name,)+
                    _ => Self::Other(word.to_owned()),
                }
            }
        }

        impl From<String> for $enum {
            fn from(word: String) -> Self {
                match Self::from(word.as_str()) {
                    Self::Other(_) => Self::Other(word),
                    known => known,
                }
            }
        }

        impl From<$enum> for String {
            fn from(value: $enum) -> Self {
                match value {
                    $enum::Other(word) => word,
                    known => known.as_str().to_owned(),
                }
            }
        }

        impl std::str::FromStr for $enum {
            type Err = std::convert::Infallible;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                Ok(Self::from(word))
            }
        }

        impl std::fmt::Display for $enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        #[cfg(feature = "utoipa")]
        impl utoipa::PartialSchema for $enum {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                Self::schema_with_description("").into()
            }
        }

        #[cfg(feature = "utoipa")]
        impl utoipa::ToSchema for $enum {}

        #[cfg(feature = "utoipa")]
        impl $enum {
            /// Returns the schema of a model's member. utoipa's `inline` would declare both a string and an object.
            pub(crate) fn schema_with_description(description: &str) -> utoipa::openapi::schema::Object {
                let mut schema = utoipa::openapi::schema::Object::with_type(utoipa::openapi::schema::Type::String);
                schema.enum_values = Some(Self::VALUES.iter().map(|word| (*word).into()).collect());
                schema.description = Some(description.to_owned()).filter(|text| !text.is_empty());
                schema
            }
        }
    };
}

pub(crate) use open_enum;

#[cfg(test)]
mod tests {
    use crate::{Code, Role, Status};

    macro_rules! check {
        ($enum:ident, $count:literal) => {
            assert_eq!($enum::VALUES.len(), $count);
            for word in $enum::VALUES {
                let value: $enum = serde_json::from_value((*word).into()).unwrap();
                assert!(!matches!(value, $enum::Other(_)), "{word}");
                assert_eq!((value.as_str(), value.to_string().as_str()), (*word, *word));
                assert_eq!(serde_json::to_value(&value).unwrap(), *word);
                assert_eq!(word.parse(), Ok(value));
            }
            let unknown: $enum = serde_json::from_str("\"of a newer server\"").unwrap();
            assert_eq!(unknown, $enum::Other("of a newer server".to_owned()));
            assert_eq!(String::from(unknown), "of a newer server");
        };
    }

    #[test]
    fn every_value_round_trips() {
        check!(Code, 21);
        check!(Status, 2);
        check!(Role, 2);
    }
}
