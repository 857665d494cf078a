//! The stages as methods of `Flow`, as flows of one step, and as transformers.

/// Each row is a stage in these three styles. It states
/// - its arguments: values, and how they are checked, then `;` and functions;
/// - `flow`: the generics of the item, the item `=>` the generics of the method, the output;
/// - `functional`: the generics of the function, the transformer.
///
/// After `by` comes the stream that results. The arguments are clones there, as each run has its own; the functions
/// of a flow are in `Arc`s. Bounds are written out, so that the compiler can show them.
macro_rules! styles {
    ($(
        $(#[$attribute:meta])*
        fn $name:ident(
            $($value:ident: $value_type:ty $(= $checked:expr)?),*;
            $($f:ident: $f_type:ty),*
        );

        flow [$($item_generics:tt)*] $item:ty => [$($generics:tt)*] $output:ty
        where [$($bounds:tt)*]
        by |$stream:ident| $stage:expr;

        functional [$($transformer_generics:tt)*] $transformer:ty
        where [$($transformer_bounds:tt)*]
        by |$transformed:ident| $transform:expr;
    )*) => {
        $(
            impl<T: 'static, $($item_generics)*> crate::Flow<T, $item> {
                $(#[$attribute])*
                #[track_caller]
                pub fn $name<$($generics)*>(
                    self,
                    $($value: $value_type,)*
                    $($f: $f_type,)*
                ) -> crate::Flow<T, $output>
                where
                    $($bounds)*
                {
                    $($(let $value = $checked;)?)*
                    $(let $f = std::sync::Arc::new($f);)*
                    let arguments = vec![$(crate::flow::Argument::from(&$value)),*];
                    self.step(stringify!($name), arguments, move |$stream| {
                        $(let $value = Clone::clone(&$value);)*
                        $(let $f = std::sync::Arc::clone(&$f);)*
                        $stage
                    })
                }
            }
        )*

        pub(super) mod op {
            #[allow(unused_imports)]
            use super::*;

            $(
                $(#[$attribute])*
                #[track_caller]
                pub fn $name<$($item_generics)*, $($generics)*>(
                    $($value: $value_type,)*
                    $($f: $f_type,)*
                ) -> crate::Flow<$item, $output>
                where
                    $($bounds)*
                {
                    crate::Flow::identity().$name($($value,)* $($f,)*)
                }
            )*
        }

        pub(super) mod functional {
            use super::*;

            $(
                $(#[$attribute])*
                #[track_caller]
                pub fn $name<$($transformer_generics)*>(
                    $($value: $value_type,)*
                    $($f: $f_type,)*
                ) -> $transformer
                where
                    $($transformer_bounds)*
                {
                    $($(let $value = $checked;)?)*
                    move |$transformed| {
                        $(let $value = Clone::clone(&$value);)*
                        $(let $f = Clone::clone(&$f);)*
                        $transform
                    }
                }
            )*
        }
    };
}

pub(crate) use styles;
